-- Code tables belong to no source: what is published replaces, nothing is removed.
INSERT INTO code (kind, code, name, description)
SELECT kind, code, name, description FROM new_code
ON CONFLICT (kind, code) DO UPDATE SET name = excluded.name, description = excluded.description
WHERE (code.name, code.description) IS DISTINCT FROM (excluded.name, excluded.description);
