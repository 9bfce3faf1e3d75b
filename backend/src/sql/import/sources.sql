-- What was imported, a line each.
SELECT rtrim(format('%-36s %-18s %-8s %s', d.source, d.release,
              CASE d.srid WHEN 4283 THEN 'GDA94' ELSE 'GDA2020' END || CASE WHEN n.assumed THEN ' (assumed)' ELSE '' END,
              CASE WHEN d.addresses > 0 THEN d.addresses || ' addresses' ELSE '' END))
FROM new_source n JOIN dataset d USING (source) WHERE n.replaced IS NULL
UNION ALL
SELECT format('%-36s replaced %s', n.source, n.replaced) FROM new_source n WHERE n.replaced IS NOT NULL
ORDER BY 1;
