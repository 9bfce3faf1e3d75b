-- Streets by their exact name in localities next to the one written beside it ($1, $2 in pairs), or that share its postcode.
SELECT here.street_pid, s.name AS street_name, s.type AS street_type, s.suffix AS street_suffix,
       l.pid AS locality_pid, l.name AS locality_name, l.state, here.addresses,
       here.name AS asked_name, here.type AS asked_type, here.suffix AS asked_suffix, here.is_alias AS street_alias,
       here.asked_locality, false AS locality_alias, here.neighbour_of
FROM (
  SELECT DISTINCT sn.street_pid, sn.locality_pid, sn.name, sn.type, sn.suffix, sn.is_alias, sn.addresses,
         own.name AS asked_locality, at.name AS neighbour_of
  FROM unnest($1::text[], $2::text[]) AS k (street, locality)
  JOIN locality_name at ON at.name = k.locality
  CROSS JOIN LATERAL (
    SELECT n.neighbour_pid AS pid FROM locality_neighbour n WHERE n.locality_pid = at.locality_pid
    UNION
    SELECT b.locality_pid FROM locality_postcode a JOIN locality_postcode b USING (postcode)
    WHERE a.locality_pid = at.locality_pid
  ) near
  JOIN street_name sn ON sn.name = k.street AND sn.locality_pid = near.pid
  JOIN locality_name own ON own.locality_pid = near.pid AND NOT own.is_alias
  WHERE near.pid <> at.locality_pid
) here
JOIN street s ON s.pid = here.street_pid
JOIN locality l ON l.pid = here.locality_pid
ORDER BY here.addresses DESC, here.street_pid, here.name, here.neighbour_of
LIMIT 200
