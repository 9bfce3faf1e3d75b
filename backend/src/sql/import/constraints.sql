-- Foreign keys of and to a table, each with the table at its other end, then its primary key and other constraints that stand
-- on an index.
SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid),
       CASE WHEN contype = 'f' THEN (CASE conrelid WHEN $1::text::regclass THEN confrelid ELSE conrelid END)::regclass::text END
FROM pg_constraint
WHERE (contype = 'f' AND (conrelid = $1::text::regclass OR confrelid = $1::text::regclass))
   OR (contype IN ('p', 'u') AND conrelid = $1::text::regclass)
ORDER BY contype <> 'f', conname;
