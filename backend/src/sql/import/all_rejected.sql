-- A source of which rows were read and none can be used: its commonest reason that is not one of $1, how many rows that
-- befell, and how many rows were left out in all.
WITH useless AS (
  SELECT s.source FROM new_source s
  WHERE s.replaced IS NULL
    AND NOT EXISTS (SELECT FROM new_address n WHERE n.source = s.source AND n.problem IS NULL)
    AND (EXISTS (SELECT FROM problem p WHERE p.source = s.source AND p.file IN ('flat', 'ADDRESS_DETAIL'))
      OR NOT EXISTS (SELECT FROM new_area n WHERE n.source = s.source AND n.problem IS NULL AND (n.vertices IS NOT NULL OR n.file <> 'outline'))
     AND NOT EXISTS (SELECT FROM new_mesh_block n WHERE n.source = s.source AND n.problem IS NULL)
     AND NOT EXISTS (SELECT FROM new_address_area n WHERE n.source = s.source AND n.problem IS NULL))
), reasons AS (
  SELECT p.source, p.reason, count(*) AS times FROM problem p JOIN useless USING (source)
  WHERE p.file IN ('flat', 'ADDRESS_DETAIL', 'outline', 'MB_LOOKUP', 'ADDRESS_BOUNDARY_TAGS')
  GROUP BY p.source, p.reason
)
SELECT source, reason, times, (SELECT sum(o.times)::int8 FROM reasons o WHERE o.source = r.source) AS total
FROM reasons r WHERE reason <> ALL ($1::text[])
ORDER BY times DESC, source, reason LIMIT 1;
