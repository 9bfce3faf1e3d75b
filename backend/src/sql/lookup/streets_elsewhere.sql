-- Streets by their exact name in localities whose name may be the misspelt one written beside it ($1, $2 in pairs), in one state
-- or all ($3). The first or the last letter is right; the rest is compared by rank/spelling.rs.
SELECT here.street_pid, s.name AS street_name, s.type AS street_type, s.suffix AS street_suffix,
       l.pid AS locality_pid, l.name AS locality_name, l.state, here.addresses,
       here.name AS asked_name, here.type AS asked_type, here.suffix AS asked_suffix, here.is_alias AS street_alias,
       here.asked_locality, here.locality_alias, NULL::text AS neighbour_of
FROM (
  SELECT DISTINCT sn.street_pid, sn.locality_pid, sn.name, sn.type, sn.suffix, sn.is_alias, sn.addresses,
         ln.name AS asked_locality, ln.is_alias AS locality_alias
  FROM unnest($1::text[], $2::text[]) AS k (street, locality)
  JOIN street_name sn ON sn.name = k.street
  JOIN locality_name ln ON ln.locality_pid = sn.locality_pid
   AND abs(length(ln.name) - length(k.locality)) <= 3
   AND (left(ln.name, 1) = left(k.locality, 1) OR right(ln.name, 1) = right(k.locality, 1))
   AND ($3::text IS NULL OR ln.state = $3::text)
) here
JOIN street s ON s.pid = here.street_pid
JOIN locality l ON l.pid = here.locality_pid
ORDER BY here.addresses DESC, here.street_pid, here.name, here.asked_locality
LIMIT 500
