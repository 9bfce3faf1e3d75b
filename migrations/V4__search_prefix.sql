-- Autocomplete reads the dictionary of street names by their beginning.
CREATE INDEX street_word_prefix ON street_word (name text_pattern_ops);

-- Addresses without a street are found by lot or number within their locality.
CREATE INDEX address_off_street ON address (locality_pid) WHERE street_pid IS NULL;
