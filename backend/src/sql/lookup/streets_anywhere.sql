-- Streets by name alone, the busiest first: exact names ($1, each with the types it may have, joined by | in $2, empty for
-- any, and the beginning of its locality's name in $3) and the busiest names in a range of the dictionary ($4 to $5), in one state
-- or all ($6). more: there are other names or streets.
SELECT here.street_pid, s.name AS street_name, s.type AS street_type, s.suffix AS street_suffix,
       l.pid AS locality_pid, l.name AS locality_name, l.state, here.addresses,
       here.name AS asked_name, here.type AS asked_type, here.suffix AS asked_suffix, here.is_alias AS street_alias,
       ln.name AS asked_locality, ln.is_alias AS locality_alias, NULL::text AS neighbour_of,
       count(*) OVER () > 200 OR bool_or(here.more) OVER () AS more
FROM (
  SELECT sn.street_pid, sn.locality_pid, sn.name, sn.type, sn.suffix, sn.is_alias, sn.addresses, k.locality, false AS more
  FROM unnest($1::text[], $2::text[], $3::text[]) AS k (street, types, locality)
  JOIN street_name sn ON sn.name = k.street AND (k.types = '' OR sn.type = ANY (string_to_array(k.types, '|')))
  UNION
  SELECT sn.street_pid, sn.locality_pid, sn.name, sn.type, sn.suffix, sn.is_alias, sn.addresses, '', word.more
  FROM unnest($4::text[], $5::text[]) AS k (low, high)
  CROSS JOIN LATERAL (
    SELECT w.name, count(*) OVER () > 20 AS more FROM street_word w WHERE w.name ~>=~ k.low AND w.name ~<~ k.high
    ORDER BY w.name = k.low DESC, w.addresses DESC, w.name LIMIT 20) word
  JOIN street_name sn ON sn.name = word.name
) here
JOIN street s ON s.pid = here.street_pid
JOIN locality l ON l.pid = here.locality_pid
JOIN locality_name ln ON ln.locality_pid = here.locality_pid AND starts_with(ln.name, here.locality)
  AND (here.locality <> '' OR NOT ln.is_alias)
WHERE $6::text IS NULL OR l.state = $6::text
ORDER BY here.addresses DESC, here.street_pid, here.name, asked_locality
LIMIT 200
