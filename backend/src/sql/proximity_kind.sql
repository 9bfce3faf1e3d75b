-- the addresses of some kinds around a point, nearest first
-- $1 longitude, $2 latitude, $3 SRID of these and of the answer, $4 radius in metres, $5 how many, $6 kinds
-- Kinds as in area_statistics (migrations/V3__search.sql), with lots apart. A rare kind must not cost a walk over a whole
-- city: it is sought among the nearest 10000 addresses. Whether there are more: proximity_walk.sql.
WITH here AS MATERIALIZED (
  SELECT ST_Transform(ST_SetSRID(ST_MakePoint($1::float8, $2::float8), $3::int4), 7844)::geography AS point
), near AS MATERIALIZED (
  SELECT pid, ST_Distance(point, (SELECT point FROM here)) AS metres, inside
  FROM (
    -- In the order of the index, so that the walk ends when enough are found.
    SELECT pid, point, point <-> (SELECT point FROM here) AS walk,
      (flat_number IS NOT NULL OR level_number IS NOT NULL) AS inside,
      CASE
        WHEN flat_type IN ('UNIT', 'FLAT', 'APT', 'TNHS', 'VLLA', 'DUPL', 'MSNT', 'STU', 'PTHS', 'LOFT', 'BNGW', 'CTGE', 'HSE',
                           'STR', 'RTCE', 'ROOM') THEN 'unit'
        WHEN flat_type IN ('SHOP', 'OFFC', 'SE', 'FCTY', 'WHSE', 'WKSH', 'SHRM', 'STOR', 'STLL', 'KSK', 'TNCY', 'CLUB', 'HALL',
                           'LSE', 'COOL', 'ATM') THEN 'business'
        WHEN flat_type IS NOT NULL OR level_type IS NOT NULL THEN 'other'
        WHEN primary_secondary = 'P' THEN 'building'
        WHEN number_first IS NULL AND lot_number IS NOT NULL THEN 'lot'
        WHEN number_first IS NULL THEN 'other'
        ELSE 'house' END AS kind
    FROM address
    WHERE ST_DWithin(point, (SELECT point FROM here), $4::float8) AND NOT is_alias AND coalesce(reliability, 2) < 4
    ORDER BY walk FETCH FIRST 10000 ROWS WITH TIES) walked
  WHERE kind = ANY ($6::text[])
  ORDER BY walk FETCH FIRST (2 * $5::int4 + 10) ROWS WITH TIES
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
