-- The addresses on streets ($1) whose numbers are nearest to $2, at most $3 of each. at: which of the streets, from 1.
SELECT k.at, a.pid, a.building_name, a.lot_number, a.flat_type, a.flat_number, a.level_type, a.level_number, a.number_first,
       a.number_last, a.postcode, a.geocode_type, a.reliability, a.is_alias,
       ST_Y(a.point::geometry) AS latitude, ST_X(a.point::geometry) AS longitude
FROM unnest($1::text[]) WITH ORDINALITY AS k (street, at)
CROSS JOIN LATERAL (
  SELECT * FROM address WHERE street_pid = k.street AND NOT is_alias
  ORDER BY abs(substring(number_first FROM '[0-9]{1,6}')::integer - $2::integer) NULLS LAST, flat_number IS NOT NULL,
           number_first, pid
  LIMIT $3::bigint
) a
ORDER BY k.at
