-- The roles of a Tildel database. Run by a superuser in the database itself, as often as one likes:
--
--     psql -d tildel -v ON_ERROR_STOP=1 -f roles.sql
--
-- tildel_owner    owns every schema and is used by --migrate and by replay only, never by a running service
-- tildel_SERVICE  what a running service logs in as: owns nothing, makes nothing, and sees its own schema alone; what it
--                 may do there, --migrate grants it
-- tildel_auditor  reads every schema and writes nothing: compare, verify, and people with psql
--
-- Passwords are not set here: whoever runs this sets them (deploy/stack.py makes them at random), so that this
-- file can be read by anyone.

DO $$
DECLARE
    service text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tildel_owner') THEN
        CREATE ROLE tildel_owner LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tildel_auditor') THEN
        CREATE ROLE tildel_auditor LOGIN;
    END IF;

    -- Nobody gets in who is not named below, and nobody finds a place to write that is nobody's.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO tildel_owner', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO tildel_auditor', current_database());
    DROP SCHEMA IF EXISTS public;

    FOREACH service IN ARRAY ARRAY['intake', 'approval', 'evaluation', 'allocation', 'payment', 'reporting', 'eventlog']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tildel_' || service) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', 'tildel_' || service);
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), 'tildel_' || service);
        -- A transaction left open would hold its row locks for ever.
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''30s''', 'tildel_' || service);
    END LOOP;
END
$$;

ALTER ROLE tildel_auditor SET default_transaction_read_only = on;

-- A backend that is cancelled while it waits for its commit says "committed" about what may be lost: no role may cancel.
REVOKE EXECUTE ON FUNCTION pg_cancel_backend(integer) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION pg_terminate_backend(integer, bigint) FROM PUBLIC;

-- What the owner makes from now on, the auditor may read.
ALTER DEFAULT PRIVILEGES FOR ROLE tildel_owner GRANT USAGE ON SCHEMAS TO tildel_auditor;
ALTER DEFAULT PRIVILEGES FOR ROLE tildel_owner GRANT SELECT ON TABLES TO tildel_auditor;
