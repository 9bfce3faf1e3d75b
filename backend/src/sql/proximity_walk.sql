-- whether there are more addresses around a point than proximity_kind.sql looks at
-- $1 longitude, $2 latitude, $3 their SRID, $4 radius in metres
SELECT count(*) > 10000 AS more
FROM (SELECT ST_Transform(ST_SetSRID(ST_MakePoint($1::float8, $2::float8), $3::int4), 7844)::geography AS point) here
CROSS JOIN LATERAL (
  SELECT FROM address
  WHERE ST_DWithin(point, here.point, $4::float8) AND NOT is_alias AND coalesce(reliability, 2) < 4
  LIMIT 10001) walked
