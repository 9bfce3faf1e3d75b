-- G-NAF as published: one table per thing, natural keys, one row per fact.
-- Points are geography in GDA2020 (EPSG:7844); releases published in GDA94 (EPSG:4283) are transformed at import.

CREATE EXTENSION IF NOT EXISTS postgis;
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- The form under which names are compared: upper case, apostrophes dropped, anything else that is not a letter or a
-- digit becomes one space. backend/src/parse/normal.rs does the same to what people type.
CREATE FUNCTION search_form(name text) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  RETURN btrim(regexp_replace(regexp_replace(upper(name), '[''’`]', '', 'g'), '[^A-Z0-9]+', ' ', 'g'));

-- What has been imported. Every imported row names its source; an import replaces the rows of its own source only.
CREATE TABLE dataset (
  source       text PRIMARY KEY,                 -- 'gnaf:VIC', 'generated:VIC', 'core:gnaf_addresses_demo', 'boundaries:poa2016', ...
  release      text NOT NULL,                    -- 'February 2026'
  release_date date,                             -- first day of the release's month, when known
  srid         integer NOT NULL,                 -- datum as published: 4283 or 7844
  imported_at  timestamptz NOT NULL DEFAULT now(), -- when an import last changed anything of it
  addresses    bigint NOT NULL,                  -- rows served from this source
  rejected     jsonb NOT NULL DEFAULT '{}'       -- reason -> rows read and not served, retired ones included
);

-- The authority tables, one row per code. kind is the table name without _AUT, lower case: 'street_type', 'flat_type', ...
CREATE TABLE code (
  kind        text NOT NULL,
  code        text NOT NULL,
  name        text NOT NULL,
  description text,
  PRIMARY KEY (kind, code)
);

CREATE TABLE locality (
  pid    text PRIMARY KEY,
  source text NOT NULL REFERENCES dataset DEFERRABLE INITIALLY DEFERRED,
  name   text NOT NULL,
  state  text NOT NULL CHECK (state IN ('NSW','VIC','QLD','SA','WA','TAS','NT','ACT','OT')),
  class  text,
  point  geography(Point, 7844)
);
CREATE INDEX locality_source ON locality (source);
CREATE INDEX locality_point ON locality USING gist (point);
CREATE INDEX locality_by_name ON locality (search_form(name), state);

CREATE TABLE locality_alias (
  pid          text PRIMARY KEY,
  source       text NOT NULL,
  locality_pid text NOT NULL REFERENCES locality DEFERRABLE INITIALLY DEFERRED,
  name         text NOT NULL,
  kind         text NOT NULL
);
CREATE INDEX locality_alias_locality ON locality_alias (locality_pid);
CREATE INDEX locality_alias_source ON locality_alias (source);

CREATE TABLE locality_neighbour (
  locality_pid  text NOT NULL REFERENCES locality DEFERRABLE INITIALLY DEFERRED,
  neighbour_pid text NOT NULL,                   -- may lie in a state that is not loaded
  source        text NOT NULL,
  PRIMARY KEY (locality_pid, neighbour_pid)
);
CREATE INDEX locality_neighbour_source ON locality_neighbour (source);

CREATE TABLE street (
  pid          text PRIMARY KEY,
  source       text NOT NULL REFERENCES dataset DEFERRABLE INITIALLY DEFERRED,
  locality_pid text NOT NULL REFERENCES locality DEFERRABLE INITIALLY DEFERRED,
  name         text NOT NULL,
  type         text,                             -- STREET_TYPE code, the long word: 'STREET'
  suffix       text,                             -- STREET_SUFFIX code, the short form: 'N'
  class        text,
  point        geography(Point, 7844)
);
CREATE INDEX street_locality ON street (locality_pid);
CREATE INDEX street_source ON street (source);

CREATE TABLE street_alias (
  pid        text PRIMARY KEY,
  source     text NOT NULL,
  street_pid text NOT NULL REFERENCES street DEFERRABLE INITIALLY DEFERRED,
  name       text NOT NULL,
  type       text,
  suffix     text,
  kind       text NOT NULL
);
CREATE INDEX street_alias_street ON street_alias (street_pid);
CREATE INDEX street_alias_source ON street_alias (source);

-- Numbers are kept as displayed: prefix, number and suffix joined without spaces ('12A', 'LG3').
CREATE TABLE address (
  pid                  text PRIMARY KEY,
  source               text NOT NULL REFERENCES dataset DEFERRABLE INITIALLY DEFERRED,
  building_name        text,
  lot_number           text,
  flat_type            text,                     -- FLAT_TYPE code: 'UNIT'
  flat_number          text,
  level_type           text,                     -- LEVEL_TYPE code: 'L'
  level_number         text,
  number_first         text,
  number_last          text,                     -- set: a range
  street_pid           text REFERENCES street DEFERRABLE INITIALLY DEFERRED,
  locality_pid         text NOT NULL REFERENCES locality DEFERRABLE INITIALLY DEFERRED,
  postcode             text CHECK (postcode ~ '^[0-9]{4}$'),
  private_street       text,
  location_description text,
  legal_parcel_id      text,
  confidence           smallint,                 -- contributing sources minus one, 0..2
  is_alias             boolean NOT NULL DEFAULT false,
  primary_secondary    text CHECK (primary_secondary IN ('P','S')),
  mesh_block           text,                     -- MB_2021_CODE
  geocode_type         text,                     -- GEOCODE_TYPE code: 'FCS', 'PC', ..., 'STL', 'LOC'
  reliability          smallint,                 -- GEOCODE_RELIABILITY: 1 surveyed .. 6 region
  point                geography(Point, 7844) NOT NULL
);
CREATE INDEX address_street_number ON address (street_pid, number_first);
CREATE INDEX address_street_range_end ON address (street_pid, number_last) WHERE number_last IS NOT NULL;
CREATE INDEX address_street_lot ON address (street_pid, lot_number) WHERE lot_number IS NOT NULL;
CREATE INDEX address_locality ON address (locality_pid);
CREATE INDEX address_source ON address (source);
CREATE INDEX address_mesh_block ON address (mesh_block) WHERE mesh_block IS NOT NULL;
CREATE INDEX address_point ON address USING gist (point);

CREATE TABLE address_alias (
  principal_pid text NOT NULL REFERENCES address ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  alias_pid     text NOT NULL REFERENCES address ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  kind          text NOT NULL,                   -- ADDRESS_ALIAS_TYPE code; 'UNKNOWN' where the source doesn't say
  source        text NOT NULL,
  PRIMARY KEY (principal_pid, alias_pid)
);
CREATE INDEX address_alias_alias ON address_alias (alias_pid);
CREATE INDEX address_alias_source ON address_alias (source);

CREATE TABLE address_secondary (
  primary_pid   text NOT NULL REFERENCES address ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  secondary_pid text NOT NULL REFERENCES address ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  source        text NOT NULL,
  PRIMARY KEY (primary_pid, secondary_pid)
);
CREATE INDEX address_secondary_secondary ON address_secondary (secondary_pid);
CREATE INDEX address_secondary_source ON address_secondary (source);
