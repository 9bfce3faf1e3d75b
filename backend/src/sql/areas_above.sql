-- a statistical area and all that contain it, as far as they are known
-- $1 code of an SA1, SA2, SA3, SA4, greater capital city area or state: each code begins with those of the greater ones
SELECT level, code, name, state, edition FROM area
WHERE (level, code) IN (('SA1', $1::text), ('SA2', left($1::text, 9)), ('SA3', left($1::text, 5)), ('SA4', left($1::text, 3)),
                        ('GCCSA', $1::text), ('STE', left($1::text, 1)))
UNION
SELECT g.level, g.code, g.name, g.state, g.edition
FROM area sa4 JOIN area g ON g.level = 'GCCSA' AND g.code = sa4.gccsa
WHERE sa4.level = 'SA4' AND sa4.code = left($1::text, 3)
