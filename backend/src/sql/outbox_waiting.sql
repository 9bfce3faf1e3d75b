-- changes of data that are not purged yet (at most 10,000, when they become one) and the age of the oldest
SELECT count(*) AS waiting, coalesce(greatest(extract(epoch FROM clock_timestamp() - min(made_at)), 0), 0)::float8 AS oldest
FROM (SELECT made_at FROM purge_outbox ORDER BY id LIMIT 10000) first
