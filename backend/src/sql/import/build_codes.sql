-- Every code that is known now: what this import publishes, else what is loaded, else what is built in (line 0).
CREATE UNLOGGED TABLE new_code AS
SELECT DISTINCT ON (kind, code) kind, code, name, description
FROM (SELECT kind, code, name, description, CASE WHEN line = 0 THEN 3 ELSE 1 END AS pick FROM raw_code
      UNION ALL SELECT kind, code, name, description, 2 FROM public.code) known
ORDER BY kind, code, pick;
ALTER TABLE new_code ADD PRIMARY KEY (kind, code);
