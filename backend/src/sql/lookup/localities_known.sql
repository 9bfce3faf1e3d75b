-- Which of these names (search form) are names of localities.
SELECT DISTINCT ln.name FROM unnest($1::text[]) AS k (name) JOIN locality_name ln ON ln.name = k.name
