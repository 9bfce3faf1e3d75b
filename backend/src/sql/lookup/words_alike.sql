-- For each of these street names the names in the dictionary most like it, by trigrams.
SELECT k.name AS typed, near.name
FROM unnest($1::text[]) AS k (name)
CROSS JOIN LATERAL (
  SELECT w.name, similarity(w.name, k.name) AS alike FROM street_word w WHERE w.name % k.name
  ORDER BY alike DESC, w.name LIMIT 8) near
ORDER BY typed, near.alike DESC, near.name
