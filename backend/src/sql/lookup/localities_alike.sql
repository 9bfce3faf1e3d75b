-- For each of these names the names of localities most like it, by trigrams.
SELECT k.name AS typed, near.name
FROM unnest($1::text[]) AS k (name)
CROSS JOIN LATERAL (
  SELECT DISTINCT ln.name, similarity(ln.name, k.name) AS alike FROM locality_name ln WHERE ln.name % k.name
  ORDER BY alike DESC, ln.name LIMIT 5) near
ORDER BY typed, near.alike DESC, near.name
