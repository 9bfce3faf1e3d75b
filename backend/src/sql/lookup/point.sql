-- A point ($1 degrees north, $2 degrees east, GDA2020) in the datum with SRID $3.
SELECT ST_Y(p) AS latitude, ST_X(p) AS longitude
FROM (SELECT ST_Transform(ST_SetSRID(ST_MakePoint($2::double precision, $1::double precision), 7844), $3::integer) AS p) moved
