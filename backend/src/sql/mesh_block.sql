-- a mesh block
-- $1 its code
SELECT code, category, sa1 FROM mesh_block WHERE code = $1::text
