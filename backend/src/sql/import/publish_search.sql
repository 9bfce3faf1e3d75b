-- Refills what search reads, for the touched localities and streets only.
DELETE FROM locality_name n USING touched_locality t WHERE n.locality_pid = t.pid;
INSERT INTO locality_name (name, locality_pid, state, is_alias)
SELECT DISTINCT ON (l.pid, search_form(n.name)) search_form(n.name), l.pid, l.state, n.is_alias
FROM touched_locality t
JOIN locality l USING (pid),
LATERAL (SELECT l.name, false AS is_alias
         UNION ALL SELECT a.name, true FROM locality_alias a WHERE a.locality_pid = l.pid) n
WHERE search_form(n.name) <> ''
ORDER BY l.pid, search_form(n.name), n.is_alias;

DELETE FROM locality_postcode p USING touched_locality t WHERE p.locality_pid = t.pid;
INSERT INTO locality_postcode (locality_pid, postcode, addresses)
SELECT a.locality_pid, a.postcode, count(*) FILTER (WHERE NOT a.is_alias)
FROM address a JOIN touched_locality t ON t.pid = a.locality_pid
GROUP BY a.locality_pid, a.postcode;

DELETE FROM street_name n USING touched_street t WHERE n.street_pid = t.pid;
WITH used AS (
  SELECT a.street_pid, count(*) AS addresses
  FROM address a JOIN touched_street t ON t.pid = a.street_pid
  WHERE NOT a.is_alias GROUP BY a.street_pid
)
INSERT INTO street_name (name, street_pid, locality_pid, type, suffix, is_alias, addresses)
SELECT DISTINCT ON (s.pid, search_form(n.name), n.type, n.suffix)
       search_form(n.name), s.pid, s.locality_pid, n.type, n.suffix, n.is_alias, coalesce(u.addresses, 0)
FROM touched_street t
JOIN street s USING (pid)
LEFT JOIN used u ON u.street_pid = s.pid,
LATERAL (SELECT s.name, s.type, s.suffix, false AS is_alias
         UNION ALL SELECT a.name, a.type, a.suffix, true FROM street_alias a WHERE a.street_pid = s.pid) n
WHERE search_form(n.name) <> ''
ORDER BY s.pid, search_form(n.name), n.type, n.suffix, n.is_alias;

INSERT INTO touched_word
SELECT DISTINCT n.name FROM street_name n JOIN touched_street t ON t.pid = n.street_pid;
DELETE FROM street_word w USING touched_word t WHERE w.name = t.name;
INSERT INTO street_word (name, addresses)
SELECT n.name, sum(n.addresses)
FROM street_name n WHERE n.name IN (SELECT name FROM touched_word)
GROUP BY n.name;
