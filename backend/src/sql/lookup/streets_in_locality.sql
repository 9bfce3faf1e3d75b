-- Streets by name in the localities whose name lies in a range ($1 to $2, in byte order), the exact name and the largest locality
-- first, in one state or all ($3), with one postcode or any ($4). more: there are other localities or streets.
SELECT here.street_pid, s.name AS street_name, s.type AS street_type, s.suffix AS street_suffix,
       l.pid AS locality_pid, l.name AS locality_name, l.state, here.addresses,
       here.name AS asked_name, here.type AS asked_type, here.suffix AS asked_suffix, here.is_alias AS street_alias,
       near.name AS asked_locality, near.is_alias AS locality_alias, NULL::text AS neighbour_of,
       bool_or(near.more OR here.more) OVER () AS more
FROM (
  SELECT ln.locality_pid, ln.name, ln.is_alias, ln.name = k.low AS exact, coalesce(sum(lp.addresses), 0) AS addresses,
         count(*) OVER () > 5 AS more
  FROM unnest($1::text[], $2::text[]) AS k (low, high)
  JOIN locality_name ln ON ln.name ~>=~ k.low AND ln.name ~<~ k.high
  LEFT JOIN locality_postcode lp ON lp.locality_pid = ln.locality_pid
  WHERE ($3::text IS NULL OR ln.state = $3::text)
  GROUP BY ln.locality_pid, ln.name, ln.is_alias, k.low
  HAVING $4::text IS NULL OR bool_or(lp.postcode = $4::text)
  ORDER BY exact DESC, ln.is_alias, addresses DESC, ln.locality_pid
  LIMIT 5
) near
CROSS JOIN LATERAL (
  SELECT sn.*, count(*) OVER () > 50 AS more FROM street_name sn WHERE sn.locality_pid = near.locality_pid AND NOT sn.is_alias AND sn.addresses > 0
  ORDER BY sn.name, sn.type, sn.suffix, sn.street_pid LIMIT 50
) here
JOIN street s ON s.pid = here.street_pid
JOIN locality l ON l.pid = near.locality_pid
ORDER BY near.exact DESC, near.is_alias, near.addresses DESC, near.locality_pid, here.name, here.type, here.suffix, here.street_pid
