-- Changes that have been purged.
DELETE FROM purge_outbox WHERE id = ANY ($1)
