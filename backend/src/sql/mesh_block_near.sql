-- the mesh block of the nearest address within 50 m that has one
-- $1 longitude, $2 latitude, $3 their SRID
SELECT near.pid, near.metres, near.code, near.category, near.sa1
FROM (SELECT ST_Transform(ST_SetSRID(ST_MakePoint($1::float8, $2::float8), $3::int4), 7844)::geography AS point) here
CROSS JOIN LATERAL (
  SELECT a.pid, ST_Distance(a.point, here.point) AS metres, m.code, m.category, m.sa1
  FROM address a CROSS JOIN LATERAL (SELECT code, category, sa1 FROM mesh_block WHERE code = a.mesh_block LIMIT 1) m
  WHERE ST_DWithin(a.point, here.point, 50) AND coalesce(a.reliability, 2) < 4
  ORDER BY a.point <-> here.point FETCH FIRST 1 ROW WITH TIES) near
ORDER BY near.pid LIMIT 1
