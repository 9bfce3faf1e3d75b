-- Which of these names (search form) exist: of localities ($1), each with its states, and of streets ($2).
SELECT ln.name, false AS is_street, array_agg(DISTINCT ln.state) AS states
FROM unnest($1::text[]) AS k (name) JOIN locality_name ln ON ln.name = k.name
GROUP BY ln.name
UNION ALL
SELECT w.name, true, NULL FROM unnest($2::text[]) AS k (name) JOIN street_word w ON w.name = k.name
