-- A locality's addresses are counted without aliases, and those without a postcode too: their row has none.
ALTER TABLE locality_postcode DROP CONSTRAINT locality_postcode_pkey, ALTER COLUMN postcode DROP NOT NULL;
TRUNCATE locality_postcode;
INSERT INTO locality_postcode (locality_pid, postcode, addresses)
SELECT locality_pid, postcode, count(*) FILTER (WHERE NOT is_alias) FROM address GROUP BY locality_pid, postcode;
CREATE UNIQUE INDEX locality_postcode_key ON locality_postcode (locality_pid, postcode);
