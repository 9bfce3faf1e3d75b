INSERT INTO new_source (source, rank, state, srid, release, release_date, assumed) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (source) DO NOTHING;
