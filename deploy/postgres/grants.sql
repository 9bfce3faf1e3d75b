-- After each `address-service migrate`, as addrgate_import: the one table that the serving role may change.
GRANT SELECT, UPDATE, DELETE ON purge_outbox TO addrgate_service; -- UPDATE: `FOR UPDATE SKIP LOCKED` asks for it
