-- What connects addresses with each other, and with areas that have no outline here.
CREATE INDEX ON new_address (pid);
ANALYZE new_address;

CREATE UNLOGGED TABLE new_address_alias AS
SELECT l.principal_pid, l.alias_pid, l.kind, l.source, s.rank, l.file, l.line,
       CASE WHEN p.pid IS NULL OR a.pid IS NULL THEN 'unknown address'
            WHEN p.problem IS NOT NULL OR a.problem IS NOT NULL THEN 'its address is not used' END AS problem
FROM (SELECT source, line, principal_pid, alias_pid, kind, 'ADDRESS_ALIAS' AS file FROM raw_address_alias
      UNION ALL
      -- The flat product doesn't publish the kind.
      SELECT source, line, principal_pid, pid, 'UNKNOWN', 'flat' FROM raw_flat WHERE is_alias AND principal_pid IS NOT NULL) l
JOIN new_source s USING (source)
LEFT JOIN new_address p ON p.pid = l.principal_pid AND p.source = l.source
LEFT JOIN new_address a ON a.pid = l.alias_pid AND a.source = l.source;

CREATE UNLOGGED TABLE new_address_secondary AS
SELECT l.primary_pid, l.secondary_pid, l.source, s.rank, l.file, l.line,
       CASE WHEN p.pid IS NULL OR a.pid IS NULL THEN 'unknown address'
            WHEN p.problem IS NOT NULL OR a.problem IS NOT NULL THEN 'its address is not used' END AS problem
FROM (SELECT source, line, primary_pid, secondary_pid, 'PRIMARY_SECONDARY' AS file FROM raw_secondary
      UNION ALL
      SELECT source, line, primary_pid, pid, 'flat' FROM raw_flat WHERE primary_pid IS NOT NULL AND primary_pid <> pid) l
JOIN new_source s USING (source)
LEFT JOIN new_address p ON p.pid = l.primary_pid AND p.source = l.source
LEFT JOIN new_address a ON a.pid = l.secondary_pid AND a.source = l.source;

-- The addresses may have come with an earlier import.
CREATE UNLOGGED TABLE new_address_area AS
SELECT t.pid AS address_pid, t.source, t.lga_name, t.ward_name, t.state_electorate, t.commonwealth_electorate, s.rank,
       'ADDRESS_BOUNDARY_TAGS' AS file, t.line,
       CASE WHEN a.problem IS NOT NULL THEN 'its address is not used'
            WHEN a.pid IS NULL AND (p.pid IS NULL OR p.source IN (SELECT source FROM new_source)) THEN 'unknown address'
       END AS problem
FROM raw_address_area t JOIN new_source s USING (source)
LEFT JOIN LATERAL (SELECT n.pid, n.problem FROM new_address n WHERE n.pid = t.pid
                   ORDER BY n.problem IS NOT NULL LIMIT 1) a ON true
LEFT JOIN public.address p ON p.pid = t.pid;
