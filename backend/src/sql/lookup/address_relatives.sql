-- Relatives of an address ($1), by identifier, at most $2 of each relation: its aliases, the principal it is an alias of, its primary
-- and its secondary addresses.
SELECT r.relation, r.kind, a.pid, a.building_name, a.lot_number, a.flat_type, a.flat_number, a.level_type, a.level_number,
       a.number_first, a.number_last, a.postcode, a.geocode_type, a.reliability, a.is_alias,
       ST_Y(a.point::geometry) AS latitude, ST_X(a.point::geometry) AS longitude,
       s.pid AS street_pid, s.name AS street_name, s.type AS street_type, s.suffix AS street_suffix,
       l.pid AS locality_pid, l.name AS locality_name, l.state
FROM (
  (SELECT 'alias' AS relation, alias_pid AS pid, kind FROM address_alias WHERE principal_pid = $1 ORDER BY alias_pid LIMIT $2::bigint)
  UNION ALL
  (SELECT 'principal', principal_pid, kind FROM address_alias WHERE alias_pid = $1 ORDER BY principal_pid LIMIT $2::bigint)
  UNION ALL
  (SELECT 'primary', primary_pid, NULL FROM address_secondary WHERE secondary_pid = $1 ORDER BY primary_pid LIMIT $2::bigint)
  UNION ALL
  (SELECT 'secondary', secondary_pid, NULL FROM address_secondary WHERE primary_pid = $1 ORDER BY secondary_pid LIMIT $2::bigint)
) r
JOIN address a ON a.pid = r.pid
JOIN locality l ON l.pid = a.locality_pid
LEFT JOIN street s ON s.pid = a.street_pid
ORDER BY r.relation, a.pid
