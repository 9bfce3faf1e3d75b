-- Addresses of streets, street by street ($1 in the order of $2), by number, a building before its units; $4 of them after the
-- first $3, with postcode $5 or any. total: how many there are on these streets. Streets with the same place in the order are one street from several sources. at: the place of the street in $1, from 1.
SELECT k.at, count(*) OVER () AS total, a.pid, a.building_name, a.lot_number, a.flat_type, a.flat_number, a.level_type, a.level_number, a.number_first,
       a.number_last, a.postcode, a.geocode_type, a.reliability, a.is_alias,
       ST_Y(a.point::geometry) AS latitude, ST_X(a.point::geometry) AS longitude
FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS k (street, rank, at)
JOIN address a ON a.street_pid = k.street AND NOT a.is_alias
 AND ($5::text IS NULL OR a.postcode = $5::text)
ORDER BY k.rank, a.number_first IS NULL, length(rtrim(a.number_first, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ')), a.number_first,
         length(a.lot_number), a.lot_number, a.flat_type IS NOT NULL OR a.level_type IS NOT NULL,
         length(a.level_number) NULLS FIRST, a.level_number NULLS FIRST, length(a.flat_number), a.flat_number, a.pid
OFFSET $3::bigint LIMIT $4::bigint
