-- Mesh blocks and areas. Where several files know one area the newest edition's finest outline stands, whatever the order of
-- loading; among equals the first source by name.
INSERT INTO problem SELECT source, 'outline', line, code, problem FROM raw_area WHERE problem IS NOT NULL;

-- Addresses name their mesh block of 2021.
CREATE UNLOGGED TABLE new_mesh_block AS
SELECT DISTINCT ON (code) code, source, category, sa1, 1 AS rank, file, line, NULL::text AS problem
FROM (SELECT code, source, category, sa1, 'MB_LOOKUP' AS file, line FROM raw_mesh_block_area
      UNION ALL
      SELECT code, source, category, sa1, 'MB_OUTLINE', line FROM raw_area
      WHERE problem IS NULL AND level = 'MB' AND edition = 'ASGS 2021' AND sa1 IS NOT NULL
      UNION ALL
      SELECT mesh_block, source, NULL, sa1, 'flat', line FROM raw_flat
      WHERE problem IS NULL AND mesh_block IS NOT NULL AND sa1 IS NOT NULL) known
ORDER BY code, category IS NULL, source, line;

CREATE UNLOGGED TABLE outline AS
SELECT source, line, level, code, name, state, gccsa, postcode, edition, vertices, digest, outline, 'outline' AS file
FROM raw_area WHERE problem IS NULL;
INSERT INTO outline (source, line, level, code, name, state, gccsa, edition, file)
SELECT m.source, m.line, a.level, a.code, a.name, m.state, a.gccsa, 'ASGS 2021', 'MB_LOOKUP'
FROM raw_mesh_block_area m, LATERAL (VALUES
  ('SA1', sa1, sa1, gccsa), ('SA2', sa2, sa2_name, gccsa), ('SA3', sa3, sa3_name, gccsa), ('SA4', sa4, sa4_name, gccsa),
  ('GCCSA', gccsa, gccsa_name, NULL)) AS a (level, code, name, gccsa);
INSERT INTO outline (source, line, level, code, name, state, edition, file)
SELECT f.source, f.line, a.level, a.code, a.name, f.state, 'ASGS 2021', 'flat'
FROM raw_flat f, LATERAL (VALUES ('SA1', sa1, sa1), ('SA2', sa2, sa2_name)) AS a (level, code, name)
WHERE f.problem IS NULL AND a.code IS NOT NULL AND a.name IS NOT NULL;

CREATE UNLOGGED TABLE new_area AS
SELECT DISTINCT ON (level, code) level, code, source, name, state, gccsa, postcode, edition, vertices, digest, 1 AS rank, file,
       line, NULL::text AS problem
FROM outline
ORDER BY level, code, vertices IS NULL, right(edition, 4) DESC, vertices DESC, gccsa IS NULL, source, line;

INSERT INTO problem
SELECT o.source, o.file, o.line, o.code,
       CASE WHEN right(n.edition, 4) > right(o.edition, 4) THEN 'a newer edition is given' ELSE 'a finer outline is given' END
FROM outline o JOIN new_area n USING (level, code)
WHERE o.vertices IS NOT NULL AND (o.source, o.line) <> (n.source, n.line);
