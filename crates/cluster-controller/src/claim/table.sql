-- Makes schema and table, unless the table is there. Roles that may use the schema, like those that an engine serves as, may
-- read whose the database is.
DO $$
DECLARE
    reader text;
BEGIN
    IF to_regclass('workflow.database_claim') IS NOT NULL THEN RETURN; END IF;
    IF to_regnamespace('workflow') IS NULL THEN
        CREATE SCHEMA workflow;
        REVOKE ALL ON SCHEMA workflow FROM PUBLIC;
    END IF;
    CREATE TABLE workflow.database_claim (
        singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
        installation text COLLATE "C" NOT NULL,
        namespace    text COLLATE "C" NOT NULL,
        name         text COLLATE "C" NOT NULL,
        uid          text COLLATE "C" NOT NULL,
        epoch        bigint NOT NULL CHECK (epoch > 0),
        claimed_at   timestamptz NOT NULL DEFAULT now(),
        released_at  timestamptz
    );
    FOR reader IN
        SELECT DISTINCT r.rolname
        FROM pg_namespace n, aclexplode(n.nspacl) a JOIN pg_roles r ON r.oid = a.grantee
        WHERE n.nspname = 'workflow' AND a.privilege_type = 'USAGE' AND a.grantee <> n.nspowner
    LOOP
        EXECUTE format('GRANT SELECT ON workflow.database_claim TO %I', reader);
    END LOOP;
END $$;
