-- Streets with their points and aliases.
CREATE UNLOGGED TABLE new_street AS
SELECT t.pid, t.source, t.locality_pid, t.name, t.type, t.suffix, t.class, place(p.longitude, p.latitude, s.srid) AS point,
       s.rank, 'STREET_LOCALITY' AS file, t.line,
       CASE WHEN t.skip IS NOT NULL THEN t.skip
            WHEN l.pid IS NULL THEN 'unknown locality'
            WHEN l.problem IS NOT NULL THEN 'its locality is not used'
            WHEN t.type IS NOT NULL AND NOT EXISTS (SELECT FROM new_code c WHERE c.kind = 'street_type' AND c.code = t.type)
              THEN 'unknown street type'
            WHEN t.suffix IS NOT NULL AND NOT EXISTS (SELECT FROM new_code c WHERE c.kind = 'street_suffix' AND c.code = t.suffix)
              THEN 'unknown street suffix'
       END AS problem
FROM raw_street t
JOIN new_source s USING (source)
LEFT JOIN new_locality l ON l.pid = t.locality_pid AND l.source = t.source
LEFT JOIN (SELECT DISTINCT ON (source, pid) source, pid, longitude, latitude
           FROM raw_street_point ORDER BY source, pid, point_pid) p ON p.source = t.source AND p.pid = t.pid;

INSERT INTO new_street
SELECT f.street_pid, f.source, min(f.locality_pid), min(f.street_name), min(f.street_type), min(f.street_suffix), NULL,
       place(round(avg(f.longitude::numeric), 8)::double precision, round(avg(f.latitude::numeric), 8)::double precision,
             min(s.srid)),
       min(s.rank), 'STREET_NAME', min(f.line), NULL
FROM raw_flat f JOIN new_source s USING (source)
WHERE f.problem IS NULL AND f.street_pid IS NOT NULL AND in_australia(f.longitude, f.latitude)
GROUP BY f.source, f.street_pid;
CREATE INDEX ON new_street (pid);

CREATE UNLOGGED TABLE new_street_alias AS
SELECT a.pid, a.source, a.street_pid, a.name, a.type, a.suffix, a.kind, s.rank, 'STREET_LOCALITY_ALIAS' AS file, a.line,
       CASE WHEN t.pid IS NULL THEN 'unknown street' WHEN t.problem IS NOT NULL THEN 'its street is not used' END AS problem
FROM raw_street_alias a JOIN new_source s USING (source)
LEFT JOIN new_street t ON t.pid = a.street_pid AND t.source = a.source;

INSERT INTO problem
SELECT p.source, 'STREET_LOCALITY_POINT', p.line, p.pid, CASE
         WHEN t.pid IS NULL THEN 'unknown street'
         WHEN NOT in_australia(p.longitude, p.latitude) THEN 'outside of Australia'
         ELSE 'no coordinates' END
FROM raw_street_point p LEFT JOIN new_street t USING (source, pid)
WHERE t.pid IS NULL OR in_australia(p.longitude, p.latitude) IS NOT TRUE;
