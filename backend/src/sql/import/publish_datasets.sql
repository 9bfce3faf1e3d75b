-- imported_at tells when the data last changed: loading the same data again leaves it.
WITH counted AS (
  SELECT source, count(*) AS addresses FROM address GROUP BY source
), robbed AS (
  -- Sources that aren't part of this import and have lost addresses to a better one.
  UPDATE dataset d SET addresses = now.addresses, imported_at = now()
  FROM (SELECT source, coalesce(c.addresses, 0) AS addresses FROM dataset LEFT JOIN counted c USING (source)) now
  WHERE d.source = now.source AND d.addresses <> now.addresses AND d.source NOT IN (SELECT source FROM new_source)
)
INSERT INTO dataset AS d (source, release, release_date, srid, addresses, rejected)
SELECT s.source, s.release, s.release_date, s.srid, coalesce(a.addresses, 0), coalesce(p.reasons, '{}')
FROM (SELECT * FROM new_source WHERE replaced IS NULL) s
LEFT JOIN counted a USING (source)
LEFT JOIN (SELECT source, jsonb_object_agg(reason, times) AS reasons
           FROM (SELECT source, reason, count(*) AS times FROM problem GROUP BY source, reason) r GROUP BY source) p USING (source)
ON CONFLICT (source) DO UPDATE
SET release = excluded.release, release_date = excluded.release_date, srid = excluded.srid, imported_at = now(),
    addresses = excluded.addresses, rejected = excluded.rejected
WHERE d.source = ANY ($1::text[]) OR (d.release, d.release_date, d.srid, d.addresses, d.rejected)
  IS DISTINCT FROM (excluded.release, excluded.release_date, excluded.srid, excluded.addresses, excluded.rejected);
