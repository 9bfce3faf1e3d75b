-- What search needs beyond the data: every name a thing answers to, in search form, and small dictionaries to correct
-- spelling against. Filled by the import (backend/src/import/publish) in the transaction that publishes the data.

CREATE TABLE locality_name (
  name         text NOT NULL,                    -- search_form
  locality_pid text NOT NULL REFERENCES locality ON DELETE CASCADE,
  state        text NOT NULL,
  is_alias     boolean NOT NULL,
  PRIMARY KEY (locality_pid, name)
);
CREATE INDEX locality_name_exact ON locality_name (name text_pattern_ops, state);
CREATE INDEX locality_name_typo ON locality_name USING gin (name gin_trgm_ops);

CREATE TABLE locality_postcode (
  locality_pid text NOT NULL REFERENCES locality ON DELETE CASCADE,
  postcode     text NOT NULL,
  addresses    integer NOT NULL,
  PRIMARY KEY (locality_pid, postcode)
);
CREATE INDEX locality_postcode_postcode ON locality_postcode (postcode);

CREATE TABLE street_name (
  name         text NOT NULL,                    -- search_form of the name without type and suffix
  street_pid   text NOT NULL REFERENCES street ON DELETE CASCADE,
  locality_pid text NOT NULL,
  type         text,
  suffix       text,
  is_alias     boolean NOT NULL,
  addresses    integer NOT NULL                  -- on the street: popularity, for autocomplete
);
CREATE INDEX street_name_exact ON street_name (name text_pattern_ops, locality_pid);
CREATE INDEX street_name_locality ON street_name (locality_pid, name);
CREATE INDEX street_name_street ON street_name (street_pid);

-- Distinct street names, for spelling only.
CREATE TABLE street_word (
  name      text PRIMARY KEY,
  addresses integer NOT NULL
);
CREATE INDEX street_word_typo ON street_word USING gin (name gin_trgm_ops);

-- Per area: addresses, dwellings by type, extent. Refreshed by the import and by `address-service refresh`.
CREATE MATERIALIZED VIEW area_statistics AS
WITH located AS (
  SELECT mb.sa1, a.flat_type, a.primary_secondary, a.point
  FROM address a JOIN mesh_block mb ON mb.code = a.mesh_block
  WHERE NOT a.is_alias
), by_level AS (
  SELECT l.level, left(sa1, l.digits) AS code, flat_type, primary_secondary, point
  FROM located, (VALUES ('SA1', 11), ('SA2', 9), ('SA3', 5), ('SA4', 3)) AS l (level, digits)
)
SELECT level, code,
       count(*) AS addresses,
       count(*) FILTER (WHERE flat_type IS NULL AND primary_secondary IS DISTINCT FROM 'P') AS houses,
       count(*) FILTER (WHERE flat_type IN ('UNIT', 'FLAT', 'APT', 'TNHS', 'VLLA', 'DUPL', 'STU', 'PTHS')) AS units,
       count(*) FILTER (WHERE flat_type IN ('SHOP', 'OFFC', 'FCTY', 'SE', 'WARE', 'KSK', 'SHRM', 'WKSH')) AS business,
       ST_Extent(point::geometry)::box2d::text AS extent
FROM by_level GROUP BY level, code;
CREATE UNIQUE INDEX area_statistics_area ON area_statistics (level, code);
