-- Addresses without a street in localities by name ($1), by number ($2) or lot ($3) in pairs; at most $4.
SELECT '' AS street_pid, '' AS street_name, NULL::text AS street_type, NULL::text AS street_suffix,
       l.pid AS locality_pid, l.name AS locality_name, l.state, 0 AS addresses,
       '' AS asked_name, NULL::text AS asked_type, NULL::text AS asked_suffix, false AS street_alias,
       ln.name AS asked_locality, ln.is_alias AS locality_alias, NULL::text AS neighbour_of,
       a.pid, a.building_name, a.lot_number, a.flat_type, a.flat_number, a.level_type, a.level_number, a.number_first,
       a.number_last, a.postcode, a.geocode_type, a.reliability, a.is_alias,
       ST_Y(a.point::geometry) AS latitude, ST_X(a.point::geometry) AS longitude
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (locality, number, lot)
JOIN locality_name ln ON ln.name = k.locality
JOIN locality l ON l.pid = ln.locality_pid
JOIN address a ON a.locality_pid = ln.locality_pid AND a.street_pid IS NULL
 AND (a.number_first = k.number OR a.number_last = k.number OR a.lot_number = k.lot)
ORDER BY a.pid, asked_locality
LIMIT $4::bigint
