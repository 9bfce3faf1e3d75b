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

-- Per statistical area: addresses by what they are, and their extent. Refreshed by the import and by `address-service refresh`.
-- An address lies where its mesh block does; without one, in the SA2 whose outline holds its point (SA1 would be a guess).
-- Every address counts once: houses + units + business + buildings + other = addresses.
CREATE MATERIALIZED VIEW area_statistics AS
WITH located AS (
  SELECT mb.sa1 AS code, a.flat_type, a.level_type, a.number_first, a.primary_secondary, a.point
  FROM address a JOIN mesh_block mb ON mb.code = a.mesh_block
  WHERE NOT a.is_alias
  UNION ALL
  SELECT sa2.code, a.flat_type, a.level_type, a.number_first, a.primary_secondary, a.point
  FROM address a CROSS JOIN LATERAL (
    SELECT p.code FROM area_piece p
    WHERE p.level = 'SA2' AND ST_Intersects(p.geom, a.point::geometry) ORDER BY p.code LIMIT 1) sa2
  WHERE NOT a.is_alias AND NOT EXISTS (SELECT FROM mesh_block mb WHERE mb.code = a.mesh_block)
), kinds AS (
  SELECT code, point, CASE
    WHEN flat_type IN ('UNIT', 'FLAT', 'APT', 'TNHS', 'VLLA', 'DUPL', 'MSNT', 'STU', 'PTHS', 'LOFT', 'BNGW', 'CTGE', 'HSE',
                       'STR', 'RTCE', 'ROOM') THEN 'unit'
    WHEN flat_type IN ('SHOP', 'OFFC', 'SE', 'FCTY', 'WHSE', 'WKSH', 'SHRM', 'STOR', 'STLL', 'KSK', 'TNCY', 'CLUB', 'HALL',
                       'LSE', 'COOL', 'ATM') THEN 'business'
    WHEN flat_type IS NOT NULL OR level_type IS NOT NULL THEN 'other'  -- car spaces, sheds, sites, antennas, whole floors
    WHEN primary_secondary = 'P' THEN 'building'                      -- its units are counted themselves
    WHEN number_first IS NULL THEN 'other'                            -- lots, and places without a number
    ELSE 'house' END AS kind
  FROM located
), by_level AS (
  SELECT l.level, left(code, l.digits) AS code, kind, point
  FROM kinds, (VALUES ('SA1', 11), ('SA2', 9), ('SA3', 5), ('SA4', 3)) AS l (level, digits)
  WHERE length(code) >= l.digits
)
SELECT level, code,
       count(*) AS addresses,
       count(*) FILTER (WHERE kind = 'house') AS houses,
       count(*) FILTER (WHERE kind = 'unit') AS units,
       count(*) FILTER (WHERE kind = 'business') AS business,
       count(*) FILTER (WHERE kind = 'building') AS buildings,
       count(*) FILTER (WHERE kind = 'other') AS other,
       ST_Extent(point::geometry)::box2d::text AS extent
FROM by_level GROUP BY level, code;
CREATE UNIQUE INDEX area_statistics_area ON area_statistics (level, code);
