-- every area whose outline holds a point
-- $1 longitude, $2 latitude, $3 their SRID
-- For a locality also G-NAF's identifier (of several of that name the nearest) and the postcode most of its addresses have.
-- Where editions of a level overlap the newest is taken. On a border two areas of a level hold the point; the lesser code is
-- taken, so that the answer is always the same.
WITH here AS MATERIALIZED (
  SELECT ST_Transform(ST_SetSRID(ST_MakePoint($1::float8, $2::float8), $3::int4), 7844) AS point
), held AS (
  SELECT DISTINCT ON (p.level) p.level, p.code
  FROM here JOIN area_piece p ON ST_Intersects(p.geom, here.point) JOIN area e ON e.level = p.level AND e.code = p.code
  ORDER BY p.level, right(e.edition, 4) DESC, p.code
)
SELECT a.level, a.code, a.name, a.state, a.gccsa, a.edition, gazetted.pid AS locality_pid,
       coalesce(gazetted.postcode, a.postcode) AS postcode
FROM held
JOIN area a USING (level, code)
CROSS JOIN here
LEFT JOIN LATERAL (
  SELECT l.pid, (SELECT lp.postcode FROM locality_postcode lp WHERE lp.locality_pid = l.pid AND lp.postcode IS NOT NULL
                 ORDER BY lp.addresses DESC, lp.postcode LIMIT 1) AS postcode
  FROM locality l
  WHERE a.level = 'LOCALITY' AND search_form(l.name) = search_form(a.name) AND l.state = a.state
  ORDER BY l.point <-> here.point::geography, l.pid LIMIT 1) gazetted ON true
