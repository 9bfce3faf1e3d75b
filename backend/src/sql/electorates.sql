-- the electorates of the nearest address within 100 m that is known to have them
-- $1 longitude, $2 latitude, $3 their SRID
SELECT near.pid, near.commonwealth_electorate, near.state_electorate
FROM (SELECT ST_Transform(ST_SetSRID(ST_MakePoint($1::float8, $2::float8), $3::int4), 7844)::geography AS point) here
CROSS JOIN LATERAL (
  SELECT a.pid, t.commonwealth_electorate, t.state_electorate
  FROM address a CROSS JOIN LATERAL (
    SELECT commonwealth_electorate, state_electorate FROM address_area WHERE address_pid = a.pid LIMIT 1) t
  WHERE ST_DWithin(a.point, here.point, 100) AND coalesce(a.reliability, 2) < 4
    AND (t.commonwealth_electorate IS NOT NULL OR t.state_electorate IS NOT NULL)
  ORDER BY a.point <-> here.point FETCH FIRST 1 ROW WITH TIES) near
ORDER BY near.pid LIMIT 1
