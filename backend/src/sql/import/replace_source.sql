-- A loaded source ($1) of which every row goes that this import does not bring, and why ($2).
INSERT INTO new_source (source, rank, srid, release, replaced)
SELECT source, source_rank(source), srid, release, $2::text FROM public.dataset WHERE source = $1::text
ON CONFLICT (source) DO NOTHING;
