-- Those of flat files that lose their last address to a better source.
DELETE FROM street s USING touched_street t
WHERE s.pid = t.pid AND s.source LIKE 'core:%' AND NOT EXISTS (SELECT FROM address a WHERE a.street_pid = s.pid);
DELETE FROM locality l USING touched_locality t
WHERE l.pid = t.pid AND l.source LIKE 'core:%' AND NOT EXISTS (SELECT FROM address a WHERE a.locality_pid = l.pid)
  AND NOT EXISTS (SELECT FROM street s WHERE s.locality_pid = l.pid);
