-- localities, postcodes and addresses per state; asked once per import, not per request
SELECT l.state, count(DISTINCT l.pid) AS localities, count(DISTINCT p.postcode) AS postcodes, sum(p.addresses)::int8 AS addresses
FROM locality l JOIN locality_postcode p ON p.locality_pid = l.pid
WHERE p.addresses > 0
GROUP BY l.state ORDER BY l.state
