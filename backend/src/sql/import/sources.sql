-- What was imported, a line each.
SELECT format('%-36s %-18s %-8s %s', d.source, d.release, CASE d.srid WHEN 4283 THEN 'GDA94' ELSE 'GDA2020' END,
              CASE WHEN d.addresses > 0 THEN d.addresses || ' addresses' ELSE '' END)
FROM new_source n JOIN dataset d USING (source) ORDER BY d.source;
