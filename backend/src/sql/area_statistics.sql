-- addresses in a statistical area by what they are, and their extent
-- $1 level, $2 code; greater capital city areas and states are sums of their SA4s
WITH parts AS (
  SELECT $1::text AS level, $2::text AS code
  UNION ALL
  SELECT level, code FROM area
  WHERE level = 'SA4' AND (($1::text = 'GCCSA' AND gccsa = $2::text) OR ($1::text = 'STE' AND left(code, 1) = $2::text))
)
SELECT coalesce(sum(addresses), 0)::int8 AS addresses, coalesce(sum(houses), 0)::int8 AS houses,
       coalesce(sum(units), 0)::int8 AS units, coalesce(sum(business), 0)::int8 AS business,
       coalesce(sum(buildings), 0)::int8 AS buildings, coalesce(sum(other), 0)::int8 AS other,
       min(ST_XMin(extent::box2d)) AS west, min(ST_YMin(extent::box2d)) AS south,
       max(ST_XMax(extent::box2d)) AS east, max(ST_YMax(extent::box2d)) AS north
FROM parts JOIN area_statistics USING (level, code)
