-- Addresses of streets, street by street ($1 in the order of $2), by number, a building before its units; $4 of them after the
-- first $3, with postcode $5 or any. total: how many there are on these streets; where the page is empty it stands alone.
-- Streets with the same place in the order are one street from several sources. What is written alike is one address there:
-- the one with a published identifier is taken.
WITH ordered AS (
  SELECT a.pid, dense_rank() OVER (
    ORDER BY k.rank, a.number_first IS NULL, length(rtrim(a.number_first, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ')), a.number_first,
             CASE WHEN a.number_first IS NULL THEN length(a.lot_number) END,
             CASE WHEN a.number_first IS NULL THEN a.lot_number ELSE a.number_last END NULLS FIRST,
             a.flat_type IS NOT NULL OR a.level_type IS NOT NULL,
             length(a.level_number) NULLS FIRST, a.level_number NULLS FIRST, length(a.flat_number), a.flat_number,
             a.level_type, a.flat_type, a.postcode) AS place
  FROM unnest($1::text[], $2::bigint[]) AS k (street, rank)
  JOIN address a ON a.street_pid = k.street AND NOT a.is_alias AND ($5::text IS NULL OR a.postcode = $5::text)
)
SELECT DISTINCT ON (o.place) whole.total, a.pid, a.building_name, a.lot_number, a.flat_type, a.flat_number, a.level_type,
       a.level_number, a.number_first, a.number_last, a.postcode, a.geocode_type, a.reliability, a.is_alias,
       ST_Y(a.point::geometry) AS latitude, ST_X(a.point::geometry) AS longitude,
       s.pid AS street_pid, s.name AS street_name, s.type AS street_type, s.suffix AS street_suffix,
       l.pid AS locality_pid, l.name AS locality_name, l.state
FROM (SELECT coalesce(max(place), 0) AS total FROM ordered) whole
LEFT JOIN ordered o ON o.place > $3::bigint AND o.place <= $3::bigint + $4::bigint
LEFT JOIN address a ON a.pid = o.pid
LEFT JOIN street s ON s.pid = a.street_pid
LEFT JOIN locality l ON l.pid = a.locality_pid
ORDER BY o.place, o.pid LIKE 'GX%', o.pid
