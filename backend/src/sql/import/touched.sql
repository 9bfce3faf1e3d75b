-- The localities and streets whose search names or counts this import changes; read before anything is published, so
-- that former names and former streets of moved addresses count too.
CREATE UNLOGGED TABLE touched_locality AS
SELECT pid FROM changed_locality
UNION SELECT n.locality_pid FROM changed_locality_alias c JOIN new_locality_alias n USING (pid) WHERE n.problem IS NULL
UNION SELECT o.locality_pid FROM changed_locality_alias c JOIN public.locality_alias o USING (pid)
UNION SELECT n.locality_pid FROM changed_address c JOIN new_address n USING (pid) WHERE n.problem IS NULL
UNION SELECT o.locality_pid FROM changed_address c JOIN public.address o USING (pid);
CREATE UNLOGGED TABLE touched_street AS
SELECT pid FROM changed_street
UNION SELECT n.street_pid FROM changed_street_alias c JOIN new_street_alias n USING (pid) WHERE n.problem IS NULL
UNION SELECT o.street_pid FROM changed_street_alias c JOIN public.street_alias o USING (pid)
UNION SELECT n.street_pid FROM changed_address c JOIN new_address n USING (pid) WHERE n.problem IS NULL
UNION SELECT o.street_pid FROM changed_address c JOIN public.address o USING (pid);
DELETE FROM touched_street WHERE pid IS NULL;
ALTER TABLE touched_locality ADD PRIMARY KEY (pid);
ALTER TABLE touched_street ADD PRIMARY KEY (pid);
-- A street's former names leave with it, so they are noted before.
CREATE UNLOGGED TABLE touched_word AS
SELECT DISTINCT w.name FROM public.street_name w JOIN touched_street t ON t.pid = w.street_pid;
ANALYZE touched_locality; ANALYZE touched_street;
