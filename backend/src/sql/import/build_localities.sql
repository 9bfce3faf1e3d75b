-- Localities with their points, aliases and neighbours. `problem` says why a row can't be used.
CREATE UNLOGGED TABLE new_locality AS
SELECT l.pid, l.source, l.name, s.state, l.class, place(p.longitude, p.latitude, s.srid) AS point,
       s.rank, 'LOCALITY' AS file, l.line, l.skip AS problem
FROM raw_locality l
JOIN new_source s USING (source)
LEFT JOIN (SELECT DISTINCT ON (source, pid) source, pid, longitude, latitude
           FROM raw_locality_point ORDER BY source, pid, point_pid) p USING (source, pid);

-- Flat files name their locality in every row: its point is the middle of its addresses. Averages of numeric are exact, so
-- the same file always gives the same point.
INSERT INTO new_locality
SELECT f.locality_pid, f.source, min(f.locality_name), min(f.state), NULL,
       place(round(avg(f.longitude::numeric), 8)::double precision, round(avg(f.latitude::numeric), 8)::double precision,
             min(s.srid)),
       min(s.rank), 'LOCALITY_NAME', min(f.line), NULL
FROM raw_flat f JOIN new_source s USING (source)
WHERE f.problem IS NULL AND in_australia(f.longitude, f.latitude)
GROUP BY f.source, f.locality_pid;
CREATE INDEX ON new_locality (pid);

CREATE UNLOGGED TABLE new_locality_alias AS
SELECT a.pid, a.source, a.locality_pid, a.name, a.kind, s.rank, 'LOCALITY_ALIAS' AS file, a.line,
       CASE WHEN l.pid IS NULL THEN 'unknown locality' WHEN l.problem IS NOT NULL THEN 'its locality is not used' END AS problem
FROM raw_locality_alias a JOIN new_source s USING (source)
LEFT JOIN new_locality l ON l.pid = a.locality_pid AND l.source = a.source;

-- The neighbour may lie in a state that isn't loaded.
CREATE UNLOGGED TABLE new_locality_neighbour AS
SELECT n.locality_pid, n.neighbour_pid, n.source, s.rank, 'LOCALITY_NEIGHBOUR' AS file, n.line,
       CASE WHEN l.pid IS NULL THEN 'unknown locality' WHEN l.problem IS NOT NULL THEN 'its locality is not used' END AS problem
FROM raw_locality_neighbour n JOIN new_source s USING (source)
LEFT JOIN new_locality l ON l.pid = n.locality_pid AND l.source = n.source;

INSERT INTO problem
SELECT p.source, 'LOCALITY_POINT', p.line, p.pid, CASE
         WHEN l.pid IS NULL THEN 'unknown locality'
         WHEN NOT in_australia(p.longitude, p.latitude) THEN 'outside of Australia'
         ELSE 'no coordinates' END
FROM raw_locality_point p LEFT JOIN new_locality l USING (source, pid)
WHERE l.pid IS NULL OR in_australia(p.longitude, p.latitude) IS NOT TRUE;
