-- What is loaded, under a header.
WITH rows AS (
  SELECT d.source, d.release, d.srid, to_char(d.imported_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS imported,
         d.addresses, (SELECT count(*) FROM area a WHERE a.source = d.source) AS areas,
         (SELECT count(*) FROM mesh_block m WHERE m.source = d.source) AS mesh_blocks,
         (SELECT count(*) FROM address_area t WHERE t.source = d.source) AS tagged
  FROM dataset d
)
SELECT line FROM (
  SELECT '' AS source, format('%-36s %-18s %-8s %-16s %10s %10s %11s %10s', 'source', 'release', 'datum', 'imported (UTC)',
                              'addresses', 'areas', 'mesh blocks', 'tagged') AS line
  UNION ALL
  SELECT source, format('%-36s %-18s %-8s %-16s %10s %10s %11s %10s', source, release,
                        CASE srid WHEN 4283 THEN 'GDA94' ELSE 'GDA2020' END, imported, addresses, areas, mesh_blocks, tagged)
  FROM rows) lines
ORDER BY source;
