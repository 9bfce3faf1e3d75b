-- Changes of data purge what caches made of them. Every change of a served row writes, in its own transaction, the cache tags
-- it touches into an outbox; `address-service serve` hands them to the gateways and deletes them (backend/src/purge.rs).
-- Which answers carry which tags: backend/src/tags.rs.

CREATE TABLE purge_outbox (
  id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tags    text[],                                -- null: everything
  reason  text NOT NULL,                         -- the table that changed, or why everything is purged
  made_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- `kind:value` as answers carry it: backend/src/tags.rs does the same.
CREATE FUNCTION cache_tag(kind text, value text) RETURNS text
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  RETURN kind || ':' || regexp_replace(left(value, 64), '[^A-Za-z0-9._:-]', '-', 'g');

-- The cell of each grid that a point lies in: backend/src/tags/cells.rs has the other half.
CREATE FUNCTION cell_tags(point geography) RETURNS text[]
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  RETURN ARRAY(SELECT format('cell:%s:%s:%s', grid, floor(ST_X(point::geometry) * grid)::int, floor(ST_Y(point::geometry) * grid)::int)
               FROM unnest(ARRAY[256, 64, 16]) AS grid);

-- Purges everything, and makes the other changes of this transaction write nothing more: an import touches a million rows.
-- The setting names the transaction, so that it can't outlive it and silence a later one.
CREATE FUNCTION purge_everything(reason text) RETURNS void
  LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
BEGIN ATOMIC
  INSERT INTO purge_outbox (tags, reason) VALUES (NULL, purge_everything.reason);
  SELECT pg_notify('purge_outbox', '');
  SELECT set_config('addrgate.purges_everything', pg_current_xact_id()::text, true);
END;

-- Purges by tags. More than 1000 at a time, or more than 10000 rows that nobody has drained, become one purge of everything.
CREATE FUNCTION purge(tags text[], reason text) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
  most CONSTANT int := 10000;
BEGIN
  IF cardinality(tags) > 1000 THEN
    PERFORM purge_everything('a change of ' || reason || ' touches more than 1000 tags');
    RETURN;
  END IF;
  -- Counting only where there may be so many. A stricter isolation could not delete what was drained meanwhile.
  IF (SELECT max(id) - min(id) FROM purge_outbox) >= most AND current_setting('transaction_isolation') = 'read committed'
     AND (SELECT count(*) FROM (SELECT FROM purge_outbox LIMIT most) waiting) = most THEN
    DELETE FROM purge_outbox WHERE id IN (SELECT id FROM purge_outbox FOR UPDATE SKIP LOCKED);
    PERFORM purge_everything('more than ' || most || ' changes were waiting');
    RETURN;
  END IF;
  INSERT INTO purge_outbox (tags, reason) VALUES (tags, reason);
  PERFORM pg_notify('purge_outbox', '');
END $$;

-- The trigger. Its argument is a query that gives the tags of a changed row `r`; without one, any change purges everything.
CREATE FUNCTION purge_changed() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
  most CONSTANT int := 10000;
  changed CONSTANT text := CASE TG_OP WHEN 'INSERT' THEN 'TABLE new_rows' WHEN 'DELETE' THEN 'TABLE old_rows'
                                      ELSE 'TABLE old_rows UNION ALL TABLE new_rows' END;
  rows int;
  tags text[];
BEGIN
  IF current_setting('addrgate.purges_everything', true) = pg_current_xact_id_if_assigned()::text THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'TRUNCATE' THEN
    PERFORM purge_everything(TG_TABLE_NAME || ' was emptied');
    RETURN NULL;
  END IF;
  EXECUTE format('SELECT count(*) FROM (SELECT FROM (%s) all_rows LIMIT %s) some_rows', changed, most) INTO rows;
  IF rows = 0 THEN
    RETURN NULL;
  END IF;
  IF rows = most OR TG_ARGV[0] IS NULL THEN
    PERFORM purge_everything(TG_TABLE_NAME || ' was changed');
    RETURN NULL;
  END IF;
  EXECUTE format('SELECT array_agg(DISTINCT tag) FROM (%s) r, LATERAL (%s) t (tag) WHERE tag IS NOT NULL', changed, TG_ARGV[0])
    INTO tags;
  PERFORM purge(tags || 'wide'::text, TG_TABLE_NAME);
  RETURN NULL;
END $$;

REVOKE ALL ON FUNCTION purge_everything, purge, purge_changed FROM PUBLIC;

-- What a change of a row of each served table purges.
DO $$
DECLARE
  served record;
BEGIN
  FOR served IN VALUES
    ('address', $tags$
      SELECT unnest(ARRAY[cache_tag('pid', r.pid), cache_tag('locality', r.locality_pid), cache_tag('number', r.number_first),
                          cache_tag('number', r.number_last), cache_tag('number', r.lot_number)] || cell_tags(r.point))
      UNION SELECT cache_tag('locality', s.locality_pid) FROM street s WHERE s.pid = r.street_pid $tags$),
    ('address_alias', $tags$ VALUES (cache_tag('pid', r.principal_pid)), (cache_tag('pid', r.alias_pid)) $tags$),
    ('address_secondary', $tags$ VALUES (cache_tag('pid', r.primary_pid)), (cache_tag('pid', r.secondary_pid)) $tags$),
    ('address_area', $tags$
      SELECT unnest(cache_tag('pid', a.pid) || cell_tags(a.point)) FROM address a WHERE a.pid = r.address_pid $tags$),
    ('street', $tags$
      SELECT unnest(ARRAY['names', cache_tag('locality', r.locality_pid)])
      UNION SELECT cache_tag('locality', a.locality_pid) FROM address a WHERE a.street_pid = r.pid $tags$),
    ('street_name', $tags$ VALUES ('names') $tags$),
    ('street_word', $tags$ VALUES ('names') $tags$),
    ('locality', $tags$ VALUES ('names'), ('areas'), (cache_tag('locality', r.pid)) $tags$),
    ('locality_name', $tags$ VALUES ('names') $tags$),
    ('locality_neighbour', $tags$ VALUES ('names') $tags$),
    ('locality_postcode', $tags$ VALUES ('names'), (cache_tag('locality', r.locality_pid)) $tags$),
    ('mesh_block', $tags$ VALUES ('areas') $tags$),
    ('area', $tags$ VALUES ('areas') $tags$),
    ('area_piece', $tags$ VALUES ('areas') $tags$),
    ('dataset', $tags$ VALUES ('coverage') $tags$),
    ('code', NULL)                               -- its words are in every label
  LOOP
    -- A trigger with transition tables is for one kind of event.
    EXECUTE format('CREATE TRIGGER purge_inserted AFTER INSERT ON %I REFERENCING NEW TABLE AS new_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION purge_changed(%s)', served.column1, coalesce(quote_literal(served.column2), ''));
    EXECUTE format('CREATE TRIGGER purge_updated AFTER UPDATE ON %I REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION purge_changed(%s)', served.column1, coalesce(quote_literal(served.column2), ''));
    EXECUTE format('CREATE TRIGGER purge_deleted AFTER DELETE ON %I REFERENCING OLD TABLE AS old_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION purge_changed(%s)', served.column1, coalesce(quote_literal(served.column2), ''));
    EXECUTE format('CREATE TRIGGER purge_truncated AFTER TRUNCATE ON %I
                    FOR EACH STATEMENT EXECUTE FUNCTION purge_changed()', served.column1);
  END LOOP;
END $$;
