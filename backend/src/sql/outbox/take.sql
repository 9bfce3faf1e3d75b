-- The oldest changes that no other drainer is working on.
SELECT id, tags, reason FROM purge_outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
