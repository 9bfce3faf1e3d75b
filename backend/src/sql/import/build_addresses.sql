-- Addresses with their one served point, its reliability and their mesh block.
CREATE UNLOGGED TABLE one_geocode AS
SELECT DISTINCT ON (source, pid) source, pid, geocode_pid, type, longitude, latitude
FROM raw_geocode ORDER BY source, pid, geocode_pid;
CREATE UNLOGGED TABLE one_mesh_block AS
SELECT DISTINCT ON (l.source, l.pid) l.source, l.pid, l.link_pid, b.code
FROM raw_address_mesh_block l JOIN raw_mesh_block b USING (source, mb_pid) ORDER BY l.source, l.pid, l.link_pid;
CREATE UNLOGGED TABLE site_reliability AS
SELECT source, site_pid, type, min(reliability) AS reliability FROM raw_site_geocode GROUP BY source, site_pid, type;
ANALYZE one_geocode; ANALYZE one_mesh_block; ANALYZE site_reliability; ANALYZE raw_address; ANALYZE raw_flat;
ANALYZE new_locality; ANALYZE new_street;

CREATE UNLOGGED TABLE new_address AS
SELECT a.pid, a.source, a.building_name, a.lot_number, a.flat_type, a.flat_number, a.level_type, a.level_number,
       a.number_first, a.number_last, a.street_pid, a.locality_pid, a.postcode, a.private_street, a.location_description,
       a.legal_parcel_id, a.confidence, coalesce(a.alias_principal = 'A', false) AS is_alias, a.primary_secondary,
       m.code AS mesh_block, g.type AS geocode_type,
       -- Where the site's own geocode of that type isn't published, what the type says.
       coalesce(r.reliability, CASE g.type WHEN 'STL' THEN 4 WHEN 'LOC' THEN 5 WHEN 'GG' THEN 3 ELSE 2 END)::smallint AS reliability,
       place(g.longitude, g.latitude, s.srid) AS point,
       s.rank, 'ADDRESS_DETAIL' AS file, a.line,
       CASE WHEN a.skip IS NOT NULL THEN a.skip
            WHEN l.pid IS NULL THEN 'unknown locality'
            WHEN l.problem IS NOT NULL THEN 'its locality is not used'
            WHEN a.street_pid IS NOT NULL AND t.pid IS NULL THEN 'unknown street'
            WHEN t.problem IS NOT NULL THEN 'its street is not used'
            WHEN g.longitude IS NULL OR g.latitude IS NULL THEN 'no coordinates'
            WHEN NOT in_australia(g.longitude, g.latitude) THEN 'outside of Australia'
            WHEN a.postcode !~ '^[0-9]{4}$' THEN 'postcode is not four digits'
            WHEN a.primary_secondary NOT IN ('P', 'S') THEN 'PRIMARY_SECONDARY is neither P nor S'
            WHEN a.alias_principal NOT IN ('P', 'A') THEN 'ALIAS_PRINCIPAL is neither P nor A'
            WHEN f.code IS NULL AND a.flat_type IS NOT NULL THEN 'unknown flat type'
            WHEN v.code IS NULL AND a.level_type IS NOT NULL THEN 'unknown level type'
       END AS problem
FROM raw_address a
JOIN new_source s USING (source)
LEFT JOIN new_locality l ON l.pid = a.locality_pid AND l.source = a.source
LEFT JOIN new_street t ON t.pid = a.street_pid AND t.source = a.source
LEFT JOIN one_geocode g ON g.source = a.source AND g.pid = a.pid
LEFT JOIN site_reliability r ON r.source = a.source AND r.site_pid = a.site_pid AND r.type = g.type
LEFT JOIN one_mesh_block m ON m.source = a.source AND m.pid = a.pid
LEFT JOIN new_code f ON f.kind = 'flat_type' AND f.code = a.flat_type
LEFT JOIN new_code v ON v.kind = 'level_type' AND v.code = a.level_type;

INSERT INTO new_address
SELECT f.pid, f.source, f.building_name, f.lot_number, f.flat_type, f.flat_number, f.level_type, f.level_number,
       f.number_first, f.number_last, f.street_pid, f.locality_pid, f.postcode, NULL, NULL, f.legal_parcel_id, NULL,
       f.is_alias, f.primary_secondary, f.mesh_block, f.geocode_type,
       CASE f.geocode_type WHEN 'STL' THEN 4 WHEN 'LOC' THEN 5 WHEN 'GG' THEN 3 ELSE CASE WHEN f.geocode_type IS NOT NULL THEN 2 END END,
       place(f.longitude, f.latitude, s.srid),
       s.rank, 'flat', f.line,
       CASE WHEN f.problem IS NOT NULL THEN f.problem
            WHEN f.longitude IS NULL OR f.latitude IS NULL THEN 'no coordinates'
            WHEN NOT in_australia(f.longitude, f.latitude) THEN 'outside of Australia'
            WHEN f.postcode !~ '^[0-9]{4}$' THEN 'postcode is not four digits'
            WHEN f.primary_secondary NOT IN ('P', 'S') THEN 'PRIMARY_SECONDARY is neither P nor S'
       END
FROM raw_flat f JOIN new_source s USING (source);

INSERT INTO problem
SELECT g.source, 'ADDRESS_DEFAULT_GEOCODE', g.line, g.pid,
       CASE WHEN a.pid IS NULL THEN 'unknown address' ELSE 'a second default geocode' END
FROM raw_geocode g
LEFT JOIN raw_address a USING (source, pid) LEFT JOIN one_geocode o USING (source, pid, geocode_pid)
WHERE a.pid IS NULL OR o.pid IS NULL;
INSERT INTO problem
SELECT l.source, 'ADDRESS_MESH_BLOCK_2021', l.line, l.pid, CASE WHEN a.pid IS NULL THEN 'unknown address'
         WHEN b.mb_pid IS NULL THEN 'unknown mesh block' ELSE 'a second mesh block' END
FROM raw_address_mesh_block l
LEFT JOIN raw_address a USING (source, pid) LEFT JOIN raw_mesh_block b USING (source, mb_pid)
LEFT JOIN one_mesh_block o USING (source, pid, link_pid)
WHERE a.pid IS NULL OR b.mb_pid IS NULL OR o.pid IS NULL;
DROP TABLE one_geocode, one_mesh_block, site_reliability;
