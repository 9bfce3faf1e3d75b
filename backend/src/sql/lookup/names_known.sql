-- Which of these names (search form) exist: of localities ($1), and of streets ($2).
SELECT DISTINCT ln.name, false AS is_street FROM unnest($1::text[]) AS k (name) JOIN locality_name ln ON ln.name = k.name
UNION ALL
SELECT w.name, true FROM unnest($2::text[]) AS k (name) JOIN street_word w ON w.name = k.name
