-- Streets by their exact name: in the locality written beside it ($1, $2 in pairs), or where postcode $4 is used ($3).
SELECT here.street_pid, s.name AS street_name, s.type AS street_type, s.suffix AS street_suffix,
       l.pid AS locality_pid, l.name AS locality_name, l.state, here.addresses,
       here.name AS asked_name, here.type AS asked_type, here.suffix AS asked_suffix, here.is_alias AS street_alias,
       here.asked_locality, here.locality_alias, NULL::text AS neighbour_of
FROM (
  SELECT sn.street_pid, sn.locality_pid, sn.name, sn.type, sn.suffix, sn.is_alias, sn.addresses,
         ln.name AS asked_locality, ln.is_alias AS locality_alias
  FROM unnest($1::text[], $2::text[]) AS k (street, locality)
  JOIN locality_name ln ON ln.name = k.locality
  JOIN street_name sn ON sn.name = k.street AND sn.locality_pid = ln.locality_pid
  UNION
  SELECT sn.street_pid, sn.locality_pid, sn.name, sn.type, sn.suffix, sn.is_alias, sn.addresses, ln.name, ln.is_alias
  FROM unnest($3::text[]) AS k (street)
  CROSS JOIN locality_postcode lp
  JOIN locality_name ln ON ln.locality_pid = lp.locality_pid AND NOT ln.is_alias
  JOIN street_name sn ON sn.name = k.street AND sn.locality_pid = lp.locality_pid
  WHERE lp.postcode = $4::text
) here
JOIN street s ON s.pid = here.street_pid
JOIN locality l ON l.pid = here.locality_pid
ORDER BY here.street_pid, here.name, here.asked_locality
LIMIT 500
