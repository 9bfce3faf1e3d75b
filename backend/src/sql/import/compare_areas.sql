-- An area or mesh block that another source has loaded stays where that source knows it better.
UPDATE new_area n SET problem =
  CASE WHEN right(o.edition, 4) > right(n.edition, 4) THEN 'a newer edition is loaded' ELSE 'a finer outline is loaded' END
FROM public.area o
WHERE o.level = n.level AND o.code = n.code AND o.source NOT IN (SELECT source FROM new_source)
  AND ((o.vertices IS NOT NULL)::int, right(o.edition, 4), coalesce(o.vertices, 0), n.source)
    > ((n.vertices IS NOT NULL)::int, right(n.edition, 4), coalesce(n.vertices, 0), o.source);
UPDATE new_mesh_block n SET problem = 'the mesh block is known already'
FROM public.mesh_block o
WHERE o.code = n.code AND o.source NOT IN (SELECT source FROM new_source)
  AND ((o.category IS NOT NULL)::int, n.source) > ((n.category IS NOT NULL)::int, o.source);
-- Areas that are only named lose without a word: every SA1 names the SA2 around it.
DELETE FROM new_area WHERE problem IS NOT NULL AND vertices IS NULL;
DELETE FROM new_mesh_block WHERE problem IS NOT NULL AND category IS NULL;
