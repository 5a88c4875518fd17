-- EXPAND
-- The first schema. Conventions (docs/spec/engine.md):
--   * every table that holds a tenant's data starts with tenant_id and is walled by row-level security (end of file);
--   * no foreign keys between hot tables: a job, its instance and its incidents are always written by one statement;
--   * text that is only compared is COLLATE "C";
--   * the planner must have no choice: a plan that was made while a queue was empty meets a million jobs a minute later
--     (storage.rs).

-- One value is a block of 1024 keys that one engine process hands out: (1 << 51) | (block << 10 | i).
CREATE SEQUENCE workflow.key_block AS bigint MINVALUE 1;

CREATE TABLE workflow.tenant (
    tenant_id            text COLLATE "C" PRIMARY KEY CHECK (tenant_id <> ''),
    display_name         text NOT NULL,
    max_active_instances bigint NOT NULL CHECK (max_active_instances >= 0),
    max_jobs_per_minute  bigint NOT NULL CHECK (max_jobs_per_minute >= 0),
    max_storage_bytes    bigint NOT NULL CHECK (max_storage_bytes >= 0),
    suspended            boolean NOT NULL,
    -- Who manages the tenant (workflow.engine.v1.Owner); '' = nobody.
    owner                text COLLATE "C" NOT NULL,
    owner_uid            text COLLATE "C" NOT NULL DEFAULT '',
    owner_created_at     timestamptz NOT NULL DEFAULT 'epoch',
    generation           bigint NOT NULL,
    -- The tombstone: what the tenant has is being deleted in slices, and nothing new comes. Never taken back.
    deleting_since       timestamptz,
    -- Some of its process definitions have `canceling_after`.
    canceling            boolean NOT NULL DEFAULT false
);
CREATE INDEX tenant_unfinished ON workflow.tenant (tenant_id) WHERE deleting_since IS NOT NULL OR canceling;

-- What a tenant uses, in 64 shards so that writers rarely meet, who hold theirs until their commit is synced: the sum over
-- the shards counts, one shard alone may be negative. A tenant with a quota starts instances through shard 0 only, whose
-- row lock makes the quota exact.
CREATE TABLE workflow.tenant_counter (
    tenant_id        text COLLATE "C" NOT NULL CHECK (tenant_id <> ''),
    shard            smallint NOT NULL,
    active_instances bigint NOT NULL,
    -- Minutes since the epoch; the two job counts are those of this minute and of the one before.
    minute           bigint NOT NULL,
    jobs             bigint NOT NULL,
    jobs_before      bigint NOT NULL,
    -- Of the `bytes` of its definitions, instances and jobs.
    storage_bytes    bigint NOT NULL,
    PRIMARY KEY (tenant_id, shard)
) WITH (fillfactor = 20);

-- A process id of a tenant: who manages it and which version is the latest. Its row is the lock that deployments take.
CREATE TABLE workflow.process (
    tenant_id        text COLLATE "C" NOT NULL CHECK (tenant_id <> ''),
    process_id       text COLLATE "C" NOT NULL,
    -- As the tenant's.
    owner            text COLLATE "C" NOT NULL,
    owner_uid        text COLLATE "C" NOT NULL,
    owner_created_at timestamptz NOT NULL,
    -- Never goes back, not even when every version is retired.
    last_version     integer NOT NULL,
    PRIMARY KEY (tenant_id, process_id)
);

CREATE TABLE workflow.process_definition (
    tenant_id     text COLLATE "C" NOT NULL CHECK (tenant_id <> ''),
    key           bigint NOT NULL,
    process_id    text COLLATE "C" NOT NULL,
    version       integer NOT NULL,
    version_tag   text NOT NULL,
    sha256        text COLLATE "C" NOT NULL,
    resource_name text NOT NULL,
    content       bytea NOT NULL,
    job_types     text[] NOT NULL,
    deployed_at   timestamptz NOT NULL DEFAULT now(),
    -- Set when the process was deleted: no new instances, running ones finish.
    retired_at    timestamptz,
    -- Its running instances are being canceled in slices; those with keys up to this one are.
    canceling_after bigint,
    -- What it counts as stored: what it holds, and 128 for the row. The same on every server, whatever it compresses.
    bytes         integer NOT NULL GENERATED ALWAYS AS (128 + octet_length(content)) STORED,
    PRIMARY KEY (tenant_id, key),
    UNIQUE (tenant_id, process_id, version)
);
CREATE INDEX process_definition_canceling ON workflow.process_definition (tenant_id, key)
    WHERE canceling_after IS NOT NULL;

-- Job types that are known although no job waits: their lag is an explicit zero.
CREATE TABLE workflow.job_type (
    tenant_id text COLLATE "C" NOT NULL CHECK (tenant_id <> ''),
    type      text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, type)
);

CREATE TABLE workflow.instance (
    tenant_id      text COLLATE "C" NOT NULL CHECK (tenant_id <> ''),
    key            bigint NOT NULL,
    definition_key bigint NOT NULL,
    -- 1 active, 2 completed, 3 canceled (workflow.engine.v1.InstanceState).
    state          smallint NOT NULL,
    -- Where the tokens are (runtime::tokens::Marking).
    marking        jsonb NOT NULL,
    variables      jsonb NOT NULL,
    started_at     timestamptz NOT NULL DEFAULT now(),
    ended_at       timestamptz,
    bytes          integer NOT NULL GENERATED ALWAYS AS (
                       128 + octet_length(marking::text) + octet_length(variables::text)) STORED,
    PRIMARY KEY (tenant_id, key)
) WITH (fillfactor = 70);

-- A job's visibility is one column: who may take it waits for run_at <= now(). Activation moves run_at to the end of
-- the lease, a failure to the end of the backoff, so an expired lease needs no sweeper and counts as lag from its expiry.
CREATE TABLE workflow.job (
    tenant_id      text COLLATE "C" NOT NULL CHECK (tenant_id <> ''),
    -- Alone, so that jobs named by their keys are found by this index and no other.
    key            bigint PRIMARY KEY,
    type           text COLLATE "C" NOT NULL,
    instance_key   bigint NOT NULL,
    definition_key bigint NOT NULL,
    element_id     text COLLATE "C" NOT NULL,
    retries        integer NOT NULL,
    run_at         timestamptz NOT NULL,
    -- NULL = nobody holds a lease.
    worker         text,
    lease_epoch    bigint NOT NULL DEFAULT 0,
    -- An incident waits for a person: never activated, held by nobody.
    parked         boolean NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL DEFAULT now(),
    bytes          integer NOT NULL GENERATED ALWAYS AS (128 + octet_length(type) + octet_length(element_id)) STORED,
    CHECK (worker IS NULL OR NOT parked)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX job_waiting ON workflow.job (tenant_id, type, run_at) WHERE NOT parked;
CREATE INDEX job_parked ON workflow.job (tenant_id) WHERE parked;

CREATE TABLE workflow.incident (
    tenant_id      text COLLATE "C" NOT NULL CHECK (tenant_id <> ''),
    -- Alone, as in workflow.job.
    key            bigint PRIMARY KEY,
    instance_key   bigint NOT NULL,
    definition_key bigint NOT NULL,
    element_id     text COLLATE "C" NOT NULL,
    message        text NOT NULL,
    -- The parked job; NULL = tokens are held at the element without one.
    job_key        bigint,
    -- The flow over which the held tokens came, where they came over one: how the step is tried again.
    flow_id        text COLLATE "C",
    -- How many tokens are held; 0 = none is, a join waits in vain.
    tokens         integer NOT NULL,
    raised_at      timestamptz NOT NULL DEFAULT now()
);
-- Both are of no use to a statement that does not ask for them by `… > 0`, so that none by key takes them.
CREATE INDEX incident_instance ON workflow.incident (tenant_id, instance_key) WHERE instance_key > 0;
CREATE INDEX incident_definition ON workflow.incident (tenant_id, definition_key, key) WHERE definition_key > 0;

-- Answers of the last 24 h, by request id.
CREATE TABLE workflow.request_log (
    tenant_id   text COLLATE "C" NOT NULL CHECK (tenant_id <> ''),
    request_id  text COLLATE "C" NOT NULL,
    body_sha256 bytea NOT NULL,
    response    bytea NOT NULL,
    answered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, request_id)
);
CREATE INDEX request_log_age ON workflow.request_log (answered_at);

-- Controllers of which only one replica may write, and the highest fence that each has shown; holds nothing of any tenant.
CREATE TABLE workflow.writer (
    name  text COLLATE "C" PRIMARY KEY,
    fence bigint NOT NULL
);

-- Serving processes; holds nothing of any tenant.
CREATE TABLE workflow.node (
    id           text PRIMARY KEY,
    version      text NOT NULL,
    last_seen_at timestamptz NOT NULL
);

DO $$
DECLARE
    walled text;
BEGIN
    FOREACH walled IN ARRAY ARRAY['tenant', 'tenant_counter', 'process', 'process_definition', 'job_type', 'instance',
                                  'job', 'incident', 'request_log']
    LOOP
        EXECUTE format('ALTER TABLE workflow.%I ENABLE ROW LEVEL SECURITY', walled);
        -- FORCE holds the table's owner as well.
        EXECUTE format('ALTER TABLE workflow.%I FORCE ROW LEVEL SECURITY', walled);
        -- An unset tenant reads NULL, one that was set and reset reads '': both match no row.
        EXECUTE format($policy$CREATE POLICY tenant_wall ON workflow.%I
            USING (tenant_id = nullif(current_setting('workflow.tenant_id', true), ''))
            WITH CHECK (tenant_id = nullif(current_setting('workflow.tenant_id', true), ''))$policy$, walled);
    END LOOP;
END $$;

-- Raises WF001 unless the transaction's tenant is in this life: the uid of its owner, '' while nobody owns it. A tenant that
-- is not there is in no life. The tenant's lock is taken for sharing first: who changes its life takes it alone, so the life
-- lasts until the transaction ends. A function, since that is planned once per session and costs one statement.
CREATE FUNCTION workflow.require_epoch(epoch text, lock_key bigint) RETURNS void LANGUAGE plpgsql AS $function$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(lock_key);
    PERFORM FROM workflow.tenant
    WHERE tenant_id = current_setting('workflow.tenant_id') AND owner_uid = epoch;
    IF NOT FOUND THEN
        RAISE 'the tenant is not in this life' USING ERRCODE = 'WF001';
    END IF;
END $function$;

SELECT set_config('workflow.tenant_id', '_default', true);
INSERT INTO workflow.tenant (tenant_id, display_name, max_active_instances, max_jobs_per_minute, max_storage_bytes,
                             suspended, owner, generation)
VALUES ('_default', 'Without a tenant', 0, 0, 0, false, '', 0);
