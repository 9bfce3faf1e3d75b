-- the addresses around a point, nearest first
-- $1 longitude, $2 latitude, $3 SRID of these and of the answer, $4 radius in metres, $5 how many
-- Addresses placed only on their street or locality are left out: how far away they are is not known.
WITH here AS MATERIALIZED (
  SELECT ST_Transform(ST_SetSRID(ST_MakePoint($1::float8, $2::float8), $3::int4), 7844)::geography AS point
), near AS MATERIALIZED (
  SELECT a.pid, ST_Distance(a.point, here.point) AS metres, a.inside
  FROM here CROSS JOIN LATERAL (
    SELECT pid, point, (flat_number IS NOT NULL OR level_number IS NOT NULL) AS inside
    FROM address
    WHERE ST_DWithin(point, here.point, $4::float8) AND NOT is_alias AND coalesce(reliability, 2) < 4
    ORDER BY point <-> here.point FETCH FIRST (2 * $5::int4 + 10) ROWS WITH TIES) a
), best AS (
  -- Twice as many as asked for, because an address may be there from two sources.
  SELECT * FROM near ORDER BY metres, inside, pid LIMIT 2 * $5::int4 + 10
)
SELECT a.pid, a.building_name, a.lot_number, a.flat_type, a.flat_number, a.level_type, a.level_number, a.number_first,
       a.number_last, a.postcode, a.geocode_type, a.reliability, a.is_alias,
       s.pid AS street_pid, s.name AS street_name, s.type AS street_type, s.suffix AS street_suffix,
       l.pid AS locality_pid, l.name AS locality_name, l.state,
       ST_X(served.point) AS longitude, ST_Y(served.point) AS latitude,
       best.metres, best.metres AS rank, degrees(ST_Azimuth(here.point, a.point)) AS bearing
FROM best
JOIN address a USING (pid)
JOIN locality l ON l.pid = a.locality_pid
LEFT JOIN street s ON s.pid = a.street_pid
CROSS JOIN here
CROSS JOIN LATERAL (SELECT ST_Transform(a.point::geometry, $3::int4) AS point) served
ORDER BY best.metres, best.inside, a.pid
