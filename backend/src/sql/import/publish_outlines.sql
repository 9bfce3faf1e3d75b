-- The outlines of areas that are new or changed, in GDA2020 and in small pieces.
DELETE FROM area_piece p USING changed_area c WHERE p.level = c.level AND p.code = c.code;
INSERT INTO area_piece (level, code, geom)
SELECT o.level, o.code, ST_Subdivide(d.geom, 96)
FROM changed_area c
JOIN new_area n USING (level, code)
JOIN outline o ON o.level = n.level AND o.code = n.code AND o.source = n.source AND o.line = n.line
JOIN new_source s ON s.source = o.source,
LATERAL ST_Dump(ST_CollectionExtract(ST_MakeValid(
  ST_Transform(ST_SetSRID(ST_GeomFromGeoJSON(o.outline), s.srid), 7844)), 3)) d
WHERE c.kind <> 'gone' AND n.problem IS NULL AND o.outline IS NOT NULL;
