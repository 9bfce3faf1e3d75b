-- The streets of a name ($1, search form, with its type or without) in a state ($2, null for any), with a postcode ($3) or any:
-- the busiest first, as many as $4 addresses need. label: equal for one street from several sources.
WITH named AS (
  SELECT DISTINCT ON (s.pid) s.pid, s.locality_pid, concat_ws(' ', s.name, s.type, s.suffix) || ', ' || l.name || ' ' || l.state AS label, n.addresses
  FROM unnest($1::text[], $2::text[]) AS k (name, state)
  JOIN street_name n ON n.name IN (k.name, regexp_replace(k.name, ' [^ ]*$', '')) AND k.name IN (n.name, n.name || ' ' || n.type)
  JOIN street s ON s.pid = n.street_pid
  JOIN locality l ON l.pid = s.locality_pid
  WHERE n.addresses > 0 AND (k.state IS NULL OR l.state = k.state)
    AND ($3::text IS NULL OR EXISTS (SELECT FROM locality_postcode p WHERE p.locality_pid = l.pid AND p.postcode = $3::text))
  ORDER BY s.pid, n.is_alias
), busiest AS (
  SELECT n.*, max(n.addresses) OVER (PARTITION BY n.label) AS busy FROM named n
), streets AS (
  SELECT b.*, sum(b.addresses) OVER (ORDER BY b.busy DESC, b.label, b.pid ROWS UNBOUNDED PRECEDING) - b.addresses AS preceding
  FROM busiest b
)
SELECT pid AS street_pid, locality_pid, label, EXISTS (SELECT FROM streets WHERE preceding >= $4::bigint) AS more
FROM streets WHERE preceding < $4::bigint
ORDER BY preceding, pid
LIMIT 5000
