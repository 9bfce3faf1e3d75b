-- the addresses nearest to a point
-- $1 longitude, $2 latitude, $3 SRID of these and of the answer, $4 radius in metres, $5 how many
-- A point that only stands for a street or a locality counts as 75 m or 500 m farther away than it is, so that it never
-- wins over a real position nearby. Such points are looked for as far as one of them could still matter.
WITH here AS MATERIALIZED (
  SELECT ST_Transform(ST_SetSRID(ST_MakePoint($1::float8, $2::float8), $3::int4), 7844)::geography AS point
), exact AS MATERIALIZED (
  SELECT a.pid, ST_Distance(a.point, here.point) AS metres, a.inside
  FROM here CROSS JOIN LATERAL (
    SELECT pid, point, (flat_number IS NOT NULL OR level_number IS NOT NULL) AS inside
    FROM address
    WHERE ST_DWithin(point, here.point, $4::float8) AND NOT is_alias AND coalesce(reliability, 2) < 4
    ORDER BY point <-> here.point FETCH FIRST 40 ROWS WITH TIES) a
), coarse AS MATERIALIZED (
  SELECT a.pid, ST_Distance(a.point, here.point) AS metres, a.inside, a.penalty
  FROM here CROSS JOIN (
    SELECT CASE WHEN count(*) < 40 THEN $4::float8 ELSE least($4::float8, max(metres) - 75) END AS reach FROM exact
  ) sought CROSS JOIN LATERAL (
    SELECT pid, point, (flat_number IS NOT NULL OR level_number IS NOT NULL) AS inside,
           CASE WHEN reliability = 4 THEN 75 ELSE 500 END AS penalty
    FROM address
    WHERE sought.reach > 0 AND ST_DWithin(point, here.point, sought.reach) AND NOT is_alias AND reliability >= 4
    ORDER BY point <-> here.point FETCH FIRST 20 ROWS WITH TIES) a
), best AS (
  SELECT pid, metres, metres AS rank, inside FROM exact
  UNION ALL SELECT pid, metres, metres + penalty, inside FROM coarse
  -- Twice as many as asked for, because an address may be there from two sources.
  ORDER BY rank, inside, pid LIMIT 2 * $5::int4 + 10
)
SELECT a.pid, a.building_name, a.lot_number, a.flat_type, a.flat_number, a.level_type, a.level_number, a.number_first,
       a.number_last, a.postcode, a.geocode_type, a.reliability, a.is_alias,
       s.pid AS street_pid, s.name AS street_name, s.type AS street_type, s.suffix AS street_suffix,
       l.pid AS locality_pid, l.name AS locality_name, l.state,
       ST_X(served.point) AS longitude, ST_Y(served.point) AS latitude,
       best.metres, best.rank, degrees(ST_Azimuth(here.point, a.point)) AS bearing
FROM best
JOIN address a USING (pid)
JOIN locality l ON l.pid = a.locality_pid
LEFT JOIN street s ON s.pid = a.street_pid
CROSS JOIN here
CROSS JOIN LATERAL (SELECT ST_Transform(a.point::geometry, $3::int4) AS point) served
ORDER BY best.rank, best.inside, a.pid
