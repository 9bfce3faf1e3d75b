-- Addresses by street ($1) and number ($2, also as either end of a range) or lot ($3): the unit asked for ($4) first, then the
-- building, then its units in order; at most $5 of each. at: which of the keys, from 1.
SELECT k.at, a.pid, a.building_name, a.lot_number, a.flat_type, a.flat_number, a.level_type, a.level_number, a.number_first,
       a.number_last, a.postcode, a.geocode_type, a.reliability, a.is_alias,
       ST_Y(a.point::geometry) AS latitude, ST_X(a.point::geometry) AS longitude
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS k (street, number, lot, unit, at)
CROSS JOIN LATERAL (
  SELECT * FROM (
    SELECT * FROM address WHERE street_pid = k.street AND number_first = k.number
    UNION ALL
    SELECT * FROM address WHERE street_pid = k.street AND number_last = k.number AND number_first <> k.number
    UNION ALL
    SELECT * FROM address WHERE street_pid = k.street AND lot_number = k.lot AND (k.number IS NULL OR number_first IS NULL)
  ) found
  ORDER BY flat_number = k.unit DESC NULLS LAST, flat_number IS NOT NULL, flat_type IS NOT NULL, is_alias,
           length(flat_number), flat_number, length(level_number), level_number, pid
  LIMIT $5::bigint
) a
ORDER BY k.at
