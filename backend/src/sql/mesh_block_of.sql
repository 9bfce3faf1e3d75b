-- the mesh block of an address
-- $1 its identifier
SELECT a.pid, 0::float8 AS metres, m.code, m.category, m.sa1
FROM address a JOIN mesh_block m ON m.code = a.mesh_block
WHERE a.pid = $1::text
