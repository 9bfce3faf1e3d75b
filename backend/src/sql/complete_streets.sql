-- Streets that begin with one of $1 (search form, '' for all) in the locality with the identifier $2, or else of the name $3,
-- in state $4 and with postcode $5, or any. The whole name first, then the busiest. total: how many there are. At most $6.
WITH towns AS (
  SELECT pid, name, state FROM (
    SELECT l.pid, l.name, l.state FROM locality l WHERE l.pid = $2::text
    UNION
    SELECT l.pid, l.name, l.state FROM locality_name n JOIN locality l ON l.pid = n.locality_pid WHERE n.name = $3::text) l
  WHERE ($4::text IS NULL OR state = $4::text)
    AND ($5::text IS NULL OR EXISTS (SELECT FROM locality_postcode p WHERE p.locality_pid = l.pid AND p.postcode = $5::text))
  ORDER BY pid LIMIT 100
), named AS (
  SELECT n.street_pid, max(n.addresses) AS addresses,
         bool_or(b.beginning IN (n.name, concat_ws(' ', n.name, n.type))) AS whole
  FROM towns t JOIN street_name n ON n.locality_pid = t.pid
  JOIN unnest($1::text[]) AS b (beginning)
    ON starts_with(concat_ws(' ', n.name, n.type, n.suffix), b.beginning)
    OR starts_with(concat_ws(' ', n.name, n.type, (SELECT c.name FROM code c WHERE c.kind = 'street_suffix' AND c.code = n.suffix)),
                   b.beginning)
  GROUP BY n.street_pid
), found AS (
  SELECT s.*, t.name AS locality, t.state, n.addresses::int8 AS addresses, n.whole, count(*) OVER () AS total
  FROM named n JOIN street s ON s.pid = n.street_pid JOIN towns t ON t.pid = s.locality_pid
  ORDER BY n.whole DESC, n.addresses DESC, s.name, s.type, s.suffix, s.pid LIMIT $6::bigint
)
SELECT f.pid, f.name, f.type, f.suffix, f.locality, f.locality_pid, f.state, f.addresses, f.total,
       (SELECT a.postcode FROM address a WHERE a.street_pid = f.pid AND NOT a.is_alias AND a.postcode IS NOT NULL
        GROUP BY a.postcode ORDER BY a.postcode = $5::text DESC, count(*) DESC, a.postcode LIMIT 1) AS postcode,
       ST_Y(f.point::geometry) AS latitude, ST_X(f.point::geometry) AS longitude
FROM found f ORDER BY f.whole DESC, f.addresses DESC, f.name, f.type, f.suffix, f.pid
