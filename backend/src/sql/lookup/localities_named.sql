-- The localities of these names ($1, search form), where they are and the postcodes in them.
SELECT NULL::text AS street_pid, NULL::text AS street_name, NULL::text AS street_type, NULL::text AS street_suffix,
       l.pid AS locality_pid, l.name AS locality_name, l.state, 0 AS addresses,
       '' AS asked_name, NULL::text AS asked_type, NULL::text AS asked_suffix, false AS street_alias,
       ln.name AS asked_locality, ln.is_alias AS locality_alias, NULL::text AS neighbour_of,
       ST_Y(l.point::geometry) AS latitude, ST_X(l.point::geometry) AS longitude,
       ARRAY(SELECT lp.postcode FROM locality_postcode lp
             WHERE lp.locality_pid = l.pid AND lp.postcode IS NOT NULL ORDER BY lp.postcode) AS postcodes
FROM unnest($1::text[]) AS k (name)
JOIN locality_name ln ON ln.name = k.name
JOIN locality l ON l.pid = ln.locality_pid
WHERE l.point IS NOT NULL
ORDER BY l.pid, ln.name
LIMIT 500
