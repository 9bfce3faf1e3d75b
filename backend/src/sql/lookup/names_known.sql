-- Which of these names (search form) exist: of localities ($1), each with its state, point and postcodes, and of streets ($2).
SELECT ln.name, false AS is_street, ln.state, ST_Y(l.point::geometry) AS latitude, ST_X(l.point::geometry) AS longitude,
       ARRAY(SELECT lp.postcode FROM locality_postcode lp
             WHERE lp.locality_pid = ln.locality_pid AND lp.postcode IS NOT NULL ORDER BY lp.postcode) AS postcodes
FROM unnest($1::text[]) AS k (name)
JOIN locality_name ln ON ln.name = k.name
JOIN locality l ON l.pid = ln.locality_pid
UNION ALL
SELECT w.name, true, NULL, NULL, NULL, NULL FROM unnest($2::text[]) AS k (name) JOIN street_word w ON w.name = k.name
