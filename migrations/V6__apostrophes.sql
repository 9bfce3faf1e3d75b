-- search_form drops every apostrophe that keyboards produce, as backend/src/parse/normal.rs does to what people type.
CREATE OR REPLACE FUNCTION search_form(name text) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  RETURN btrim(regexp_replace(regexp_replace(upper(name), '[''’`‘ʼ´]', '', 'g'), '[^A-Z0-9]+', ' ', 'g'));
REINDEX INDEX locality_by_name;
