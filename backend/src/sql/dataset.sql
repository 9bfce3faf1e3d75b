-- what has been imported
SELECT source, release, release_date, imported_at, addresses FROM dataset ORDER BY source
