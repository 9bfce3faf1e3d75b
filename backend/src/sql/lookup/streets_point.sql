-- Where streets ($1) are: their own point, or that of the address nearest to the middle of theirs; and the postcodes on them.
SELECT s.pid, ST_Y(p.point::geometry) AS latitude, ST_X(p.point::geometry) AS longitude, on_it.postcodes
FROM unnest($1::text[]) AS k (pid)
JOIN street s ON s.pid = k.pid
CROSS JOIN LATERAL (
  SELECT array_agg(DISTINCT a.postcode) FILTER (WHERE a.postcode IS NOT NULL) AS postcodes,
         ST_Centroid(ST_Collect(a.point::geometry)) AS middle
  FROM (SELECT postcode, point FROM address WHERE street_pid = s.pid LIMIT 2000) a
) on_it
CROSS JOIN LATERAL (
  SELECT coalesce(s.point, (SELECT a.point FROM address a WHERE a.street_pid = s.pid
                            ORDER BY a.point::geometry <-> on_it.middle, a.pid LIMIT 1)) AS point
) p
WHERE p.point IS NOT NULL
