-- Localities and streets that a flat file only names, and whose addresses it can't have: nobody asked for them.
DELETE FROM new_street s WHERE s.file = 'STREET_NAME'
  AND NOT EXISTS (SELECT FROM new_address a WHERE a.street_pid = s.pid AND a.source = s.source AND a.problem IS NULL);
DELETE FROM new_locality l WHERE l.file = 'LOCALITY_NAME'
  AND NOT EXISTS (SELECT FROM new_address a WHERE a.locality_pid = l.pid AND a.source = l.source AND a.problem IS NULL);
