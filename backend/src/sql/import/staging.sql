-- Where an import collects what the files say before anything that is served changes. Unlogged: a crash loses it, and the
-- next import begins here again. Column order is that of the COPY rows made in import/feed.rs, flat.rs and outlines.rs.
DROP SCHEMA IF EXISTS import_staging CASCADE;
CREATE SCHEMA import_staging;
SET search_path = import_staging, public;

-- What this import replaces. rank: whose row stands where two sources know one key (1 official, 2 generated, 3 flat files).
CREATE UNLOGGED TABLE new_source (
  source text PRIMARY KEY, rank integer NOT NULL, state text, srid integer NOT NULL, release text NOT NULL,
  release_date date,
  assumed boolean NOT NULL DEFAULT false,        -- nothing says which datum it is in
  replaced text                                  -- set: only its loaded rows go, for this reason
);

CREATE UNLOGGED TABLE raw_code (kind text, line bigint, code text, name text, description text);

CREATE UNLOGGED TABLE raw_locality (
  source text, line bigint, skip text, pid text, name text, class text);
CREATE UNLOGGED TABLE raw_locality_point (
  source text, line bigint, point_pid text, pid text, longitude double precision, latitude double precision);
CREATE UNLOGGED TABLE raw_locality_alias (
  source text, line bigint, pid text, locality_pid text, name text, kind text);
CREATE UNLOGGED TABLE raw_locality_neighbour (
  source text, line bigint, locality_pid text, neighbour_pid text);
CREATE UNLOGGED TABLE raw_street (
  source text, line bigint, skip text, pid text, locality_pid text, name text, type text, suffix text, class text);
CREATE UNLOGGED TABLE raw_street_point (
  source text, line bigint, point_pid text, pid text, longitude double precision, latitude double precision);
CREATE UNLOGGED TABLE raw_street_alias (
  source text, line bigint, pid text, street_pid text, name text, type text, suffix text, kind text);
CREATE UNLOGGED TABLE raw_address (
  source text, line bigint, skip text, pid text, building_name text, lot_number text, flat_type text, flat_number text,
  level_type text, level_number text, number_first text, number_last text, street_pid text, locality_pid text,
  postcode text, private_street text, location_description text, legal_parcel_id text, confidence smallint,
  alias_principal text, primary_secondary text, site_pid text);
CREATE UNLOGGED TABLE raw_geocode (
  source text, line bigint, geocode_pid text, pid text, type text, longitude double precision, latitude double precision);
CREATE UNLOGGED TABLE raw_site_geocode (
  source text, line bigint, site_pid text, type text, reliability smallint);
CREATE UNLOGGED TABLE raw_mesh_block (source text, line bigint, mb_pid text, code text);
CREATE UNLOGGED TABLE raw_address_mesh_block (source text, line bigint, link_pid text, pid text, mb_pid text);
CREATE UNLOGGED TABLE raw_address_alias (
  source text, line bigint, principal_pid text, alias_pid text, kind text);
CREATE UNLOGGED TABLE raw_secondary (source text, line bigint, primary_pid text, secondary_pid text);

CREATE UNLOGGED TABLE raw_flat (
  source text, line bigint, problem text, pid text, label text, building_name text, lot_number text, flat_type text,
  flat_number text, level_type text, level_number text, number_first text, number_last text, locality_pid text,
  locality_name text, state text, street_pid text, street_name text, street_type text, street_suffix text, postcode text,
  legal_parcel_id text, is_alias boolean, principal_pid text, primary_secondary text, primary_pid text, geocode_type text,
  longitude double precision, latitude double precision, mesh_block text, sa1 text, sa2 text, sa2_name text);

CREATE UNLOGGED TABLE raw_mesh_block_area (
  source text, line bigint, code text, category text, sa1 text, sa2 text, sa2_name text, sa3 text, sa3_name text, sa4 text,
  sa4_name text, gccsa text, gccsa_name text, state text);
CREATE UNLOGGED TABLE raw_address_area (
  source text, line bigint, pid text, lga_name text, ward_name text, state_electorate text, commonwealth_electorate text);
CREATE UNLOGGED TABLE raw_area (
  source text, line bigint, problem text, level text, code text, name text, state text, gccsa text, postcode text,
  edition text, category text, sa1 text, vertices integer, digest text, outline text);

-- Every row that was read and is not served: why, and where it stands.
CREATE UNLOGGED TABLE problem (source text, file text, line bigint, key text, reason text);

-- The rank a source of that name has.
CREATE FUNCTION source_rank(source text) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  RETURN CASE WHEN source LIKE 'gnaf:%' THEN 1 WHEN source LIKE 'generated:%' THEN 2 ELSE 3 END;

-- The next two are not STRICT so that the planner can inline them; null comes out null all the same.
-- All of Australia with its external territories: Cocos 96.8 E to Norfolk 168 E, Torres Strait 9.1 S to Macquarie 54.8 S. The same
-- box as in src/input/coordinates.rs.
CREATE FUNCTION in_australia(longitude double precision, latitude double precision) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN longitude BETWEEN 96 AND 169 AND latitude BETWEEN -55 AND -8;

-- A published point in GDA2020; null outside of Australia.
CREATE FUNCTION place(longitude double precision, latitude double precision, srid integer)
  RETURNS public.geography LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN CASE WHEN in_australia(longitude, latitude)
    THEN public.ST_Transform(public.ST_SetSRID(public.ST_MakePoint(longitude, latitude), srid), 7844)::public.geography END;
