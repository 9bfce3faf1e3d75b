-- Roles of least privilege. Run once, as a superuser, in a database of its own:
--   psql -v ON_ERROR_STOP=1 -d addrgate -f roles.sql
-- Nobody has a password yet: \password addrgate_import, \password addrgate_service, \password addrgate_replica.
-- addrgate_import migrates and imports, and owns all tables. addrgate_service serves: it reads, and takes purges out of the outbox.
CREATE EXTENSION IF NOT EXISTS postgis;
CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE ROLE addrgate_import LOGIN CONNECTION LIMIT 5;
CREATE ROLE addrgate_service LOGIN CONNECTION LIMIT 60;
CREATE ROLE addrgate_replica LOGIN REPLICATION CONNECTION LIMIT 4;
ALTER ROLE addrgate_service SET default_transaction_read_only = off; -- the outbox is deleted from
ALTER ROLE addrgate_service SET idle_in_transaction_session_timeout = '60s';

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO addrgate_import;
GRANT USAGE ON SCHEMA public TO addrgate_service;
DO $$ BEGIN
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO addrgate_import', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO addrgate_service', current_database());
END $$;

-- What addrgate_import makes from now on can be read by addrgate_service. After the first `address-service migrate`:
--   psql -v ON_ERROR_STOP=1 -d addrgate -f grants.sql
ALTER DEFAULT PRIVILEGES FOR ROLE addrgate_import IN SCHEMA public GRANT SELECT ON TABLES TO addrgate_service;
