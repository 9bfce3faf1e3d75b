-- Statistical, administrative and electoral areas.

-- Mesh blocks tie an address to its statistical areas exactly; SA2, SA3 and SA4 codes are prefixes of the SA1 code.
CREATE TABLE mesh_block (
  code     text PRIMARY KEY,                     -- MB_2021_CODE, 11 digits
  source   text NOT NULL,
  category text,                                 -- 'Residential', 'Commercial', ...
  sa1      text NOT NULL                         -- 11 digits
);
CREATE INDEX mesh_block_sa1 ON mesh_block (sa1);
CREATE INDEX mesh_block_source ON mesh_block (source);

-- level: SA1 SA2 SA3 SA4 GCCSA STE LGA POA LOCALITY
CREATE TABLE area (
  level      text NOT NULL,
  code       text NOT NULL,
  source     text NOT NULL,
  name       text NOT NULL,
  state      text,                               -- abbreviation
  gccsa      text,                               -- GCCSA code, statistical levels only
  postcode   text,                               -- LOCALITY and POA only
  edition    text NOT NULL,                      -- 'ASGS 2021', 'LGA 2022', 'SSC 2016', 'POA 2016'
  vertices   integer,                            -- of the outline; null when the area is known without one
  digest     text,                               -- of the outline as published, to see that it has changed
  PRIMARY KEY (level, code)
);
CREATE INDEX area_source ON area (source);

-- Outlines in GDA2020, subdivided so that a point test touches a small polygon.
CREATE TABLE area_piece (
  level text NOT NULL,
  code  text NOT NULL,
  geom  geometry(Polygon, 7844) NOT NULL,
  FOREIGN KEY (level, code) REFERENCES area ON DELETE CASCADE
);
CREATE INDEX area_piece_area ON area_piece (level, code);
CREATE INDEX area_piece_geom ON area_piece USING gist (geom);

-- Areas that are published per address rather than as outlines here: wards and electorates.
CREATE TABLE address_area (
  address_pid             text PRIMARY KEY REFERENCES address ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  source                  text NOT NULL,
  lga_name                text,
  ward_name               text,
  state_electorate        text,
  commonwealth_electorate text
);
CREATE INDEX address_area_source ON address_area (source);
