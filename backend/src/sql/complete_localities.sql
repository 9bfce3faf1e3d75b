-- Localities whose name begins with $1 (search form, '' for any) in state $2 (null for any), of the names with the least rank
-- ($3) that are found; whose postcode begins with $4, and is $5; null allows any. The whole name first, then the largest.
-- total: how many there are. At most $6.
-- The dictionary has capital letters, digits and blanks only, so that '~' ends the range of what begins so; postcodes have
-- digits only, and letters come after them.
WITH named AS (
  SELECT n.locality_pid, k.rank, n.name = k.name AS whole, n.is_alias, n.name
  FROM unnest($1::text[], $2::text[], $3::int[]) AS k (name, state, rank)
  JOIN locality_name n ON n.name ~>=~ k.name AND n.name ~<~ (k.name || '~') AND (k.state IS NULL OR n.state = k.state)
  WHERE k.name <> ''
  UNION ALL
  SELECT p.locality_pid, 0, p.postcode = $4::text, false, NULL
  FROM unnest($1::text[], $2::text[]) AS k (name, state)
  JOIN locality_postcode p ON p.postcode >= $4::text AND p.postcode < $4::text || 'Z'
  JOIN locality l ON l.pid = p.locality_pid AND (k.state IS NULL OR l.state = k.state)
  WHERE k.name = ''
), best AS (
  SELECT locality_pid, bool_or(whole) AS whole, CASE WHEN bool_and(is_alias) THEN min(name) END AS alias
  FROM named WHERE rank = (SELECT min(rank) FROM named) GROUP BY locality_pid
), found AS (
  SELECT l.pid, l.name, l.state, l.point, b.whole, b.alias, held.addresses, held.postcodes, count(*) OVER () AS total
  FROM best b JOIN locality l ON l.pid = b.locality_pid
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(p.addresses), 0)::int8 AS addresses,
           coalesce(array_agg(p.postcode ORDER BY p.addresses DESC, p.postcode) FILTER (WHERE p.postcode IS NOT NULL), '{}') AS postcodes
    FROM locality_postcode p WHERE p.locality_pid = l.pid) held
  WHERE ($4::text IS NULL OR EXISTS (SELECT FROM unnest(held.postcodes) p WHERE p LIKE $4::text || '%'))
    AND ($5::text IS NULL OR $5::text = ANY (held.postcodes))
)
SELECT pid AS locality_pid, name, state, alias, postcodes, addresses, total,
       coalesce($5::text, (SELECT p FROM unnest(postcodes) WITH ORDINALITY AS u (p, at) WHERE p LIKE $4::text || '%' ORDER BY at LIMIT 1),
                postcodes[1]) AS postcode,
       ST_Y(point::geometry) AS latitude, ST_X(point::geometry) AS longitude
FROM found ORDER BY whole DESC, addresses DESC, name, state, pid LIMIT $6::bigint
