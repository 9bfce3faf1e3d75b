-- Streets while the last word is being typed: by exact name with the beginning of their locality's ($1 with $2 to $3), by
-- the beginning of their name in a locality ($4 to $5 with $6) or where postcode $9 is used ($7 to $8).
-- A beginning is a range [from, to) in byte order.
SELECT here.street_pid, s.name AS street_name, s.type AS street_type, s.suffix AS street_suffix,
       l.pid AS locality_pid, l.name AS locality_name, l.state, here.addresses,
       here.name AS asked_name, here.type AS asked_type, here.suffix AS asked_suffix, here.is_alias AS street_alias,
       here.asked_locality, here.locality_alias, NULL::text AS neighbour_of
FROM (
  SELECT sn.street_pid, sn.locality_pid, sn.name, sn.type, sn.suffix, sn.is_alias, sn.addresses,
         ln.name AS asked_locality, ln.is_alias AS locality_alias
  FROM unnest($1::text[], $2::text[], $3::text[]) AS k (street, low, high)
  JOIN locality_name ln ON ln.name ~>=~ k.low AND ln.name ~<~ k.high
  JOIN street_name sn ON sn.name = k.street AND sn.locality_pid = ln.locality_pid
  UNION
  SELECT sn.street_pid, sn.locality_pid, sn.name, sn.type, sn.suffix, sn.is_alias, sn.addresses, ln.name, ln.is_alias
  FROM unnest($4::text[], $5::text[], $6::text[]) AS k (low, high, locality)
  JOIN locality_name ln ON ln.name = k.locality
  JOIN street_name sn ON sn.locality_pid = ln.locality_pid AND sn.name ~>=~ k.low AND sn.name ~<~ k.high
  UNION
  SELECT sn.street_pid, sn.locality_pid, sn.name, sn.type, sn.suffix, sn.is_alias, sn.addresses, ln.name, ln.is_alias
  FROM unnest($7::text[], $8::text[]) AS k (low, high)
  CROSS JOIN locality_postcode lp
  JOIN locality_name ln ON ln.locality_pid = lp.locality_pid AND NOT ln.is_alias
  JOIN street_name sn ON sn.locality_pid = lp.locality_pid AND sn.name ~>=~ k.low AND sn.name ~<~ k.high
  WHERE lp.postcode = $9::text
) here
JOIN street s ON s.pid = here.street_pid
JOIN locality l ON l.pid = here.locality_pid
ORDER BY here.addresses DESC, here.street_pid, here.name, here.asked_locality
LIMIT 300
