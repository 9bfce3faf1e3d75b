-- The streets of a town by its name ($1, search form, '' for any) in a state ($2, null for any), of the names with the least
-- rank ($3) that are found; with a postcode ($4) or any. In order, as many as $5 addresses need, without those that have the
-- town's name: see town_named.sql. label: equal for one street from several sources. rank: of the names that were found.
-- A locality without streets is one row without a street.
WITH asked AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::int[]) AS k (name, state, rank)
), towns AS (
  SELECT l.pid, l.name, l.state, k.rank
  FROM asked k JOIN locality_name n ON n.name = k.name JOIN locality l ON l.pid = n.locality_pid
  WHERE k.name <> '' AND (k.state IS NULL OR l.state = k.state)
    AND ($4::text IS NULL OR EXISTS (SELECT FROM locality_postcode p WHERE p.locality_pid = l.pid AND p.postcode = $4::text))
  UNION ALL
  SELECT l.pid, l.name, l.state, k.rank
  FROM asked k JOIN locality_postcode p ON p.postcode = $4::text JOIN locality l ON l.pid = p.locality_pid
  WHERE k.name = '' AND (k.state IS NULL OR l.state = k.state)
), best AS (
  SELECT DISTINCT pid, name, state, rank FROM towns WHERE rank = (SELECT min(rank) FROM towns) ORDER BY name, state, pid LIMIT 100
), streets AS (
  SELECT b.pid AS locality_pid, b.name AS locality_name, b.state, b.rank, s.pid AS street_pid,
         concat_ws(' ', s.name, s.type, s.suffix) AS street,
         coalesce(sum(n.addresses) OVER (ORDER BY b.name, b.state, s.name, s.type NULLS FIRST, s.suffix NULLS FIRST, s.pid
                                         ROWS UNBOUNDED PRECEDING), 0) - coalesce(n.addresses, 0) AS preceding
  FROM best b
  LEFT JOIN (street_name n JOIN street s ON s.pid = n.street_pid)
    ON n.locality_pid = b.pid AND NOT n.is_alias AND n.addresses > 0
   AND NOT EXISTS (SELECT FROM asked k WHERE k.rank = b.rank AND k.name IN (n.name, n.name || ' ' || n.type))
)
SELECT locality_pid, street_pid, street || ', ' || locality_name || ' ' || state AS label, rank,
       EXISTS (SELECT FROM streets WHERE preceding >= $5::bigint) AS more
FROM streets WHERE preceding < $5::bigint
ORDER BY preceding, locality_name, state, street NULLS FIRST, street_pid
LIMIT 5000
