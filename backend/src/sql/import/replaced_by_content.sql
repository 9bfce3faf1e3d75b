-- Flat files are named as people like. One that is new by name and holds four fifths of another's addresses, which are four
-- fifths of its own, is that file's next edition.
INSERT INTO new_source (source, rank, srid, release, replaced)
SELECT DISTINCT ON (d.source) d.source, source_rank(d.source), d.srid, d.release, 'by ' || b.source || ', which holds its addresses'
FROM (SELECT n.source, o.source AS loaded, count(*) AS addresses
      FROM new_address n JOIN public.address o USING (pid)
      WHERE n.file = 'flat' AND n.problem IS NULL AND o.source LIKE 'core:%'
        AND o.source NOT IN (SELECT source FROM new_source)
        AND n.source NOT IN (SELECT source FROM public.dataset)
      GROUP BY n.source, o.source) b
JOIN public.dataset d ON d.source = b.loaded
JOIN (SELECT source, count(*) AS addresses FROM new_address WHERE problem IS NULL GROUP BY source) n ON n.source = b.source
WHERE b.addresses * 5 >= d.addresses * 4 AND b.addresses * 5 >= n.addresses * 4
ORDER BY d.source, b.addresses DESC, b.source;
