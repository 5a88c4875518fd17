-- The life of :size jobs in the engine's own transactions: started by a client, activated and completed by a worker. The
-- statements are those of crates/workflow-engine/src (database::begin_tenant, storage::instances::observe_start_ground and
-- write_changes, storage::jobs::activate_jobs and delete_completed), with the arrays that the engine sends written as series.
-- Beginning is one round trip here as there.
\set n :n + 1
\set first :base + :client_id * 1000000000 + :n * :size * 2
\set start_shard random(0, 63)
\set shard random(1, 63)
\startpipeline
BEGIN;
SET LOCAL workflow.tenant_id = '_default';
SELECT workflow.require_epoch('', 1);
\endpipeline
SELECT t.suspended, t.deleting_since IS NOT NULL, t.max_active_instances, t.max_jobs_per_minute, t.max_storage_bytes,
       used.active_instances, used.jobs, d.key
FROM workflow.tenant t
CROSS JOIN LATERAL (
    SELECT coalesce(sum(c.active_instances), 0)::bigint AS active_instances,
           coalesce(sum(c.jobs) FILTER (WHERE c.minute = floor(extract(epoch FROM now()) / 60)::bigint), 0)::bigint AS jobs
    FROM workflow.tenant_counter c
    WHERE c.tenant_id = '_default' AND t.max_active_instances + t.max_jobs_per_minute > 0
) used
LEFT JOIN workflow.process_definition d
  ON d.tenant_id = '_default' AND d.process_id = 'order' AND d.retired_at IS NULL
 AND d.version = (SELECT p.last_version FROM workflow.process p WHERE p.tenant_id = '_default' AND p.process_id = 'order')
WHERE t.tenant_id = '_default';
WITH started AS (
    INSERT INTO workflow.instance (tenant_id, key, definition_key, state, marking, variables, ended_at)
    SELECT '_default', :first::bigint + k * 2, :definition::bigint, 1,
           ('{"resting": 1, "jobs": [' || :first::bigint + k * 2 + 1 || ']}')::jsonb, '{}'::jsonb, NULL
    FROM generate_series(0, :size::bigint - 1) AS k
    RETURNING bytes
), queued AS (
    INSERT INTO workflow.job (tenant_id, key, type, instance_key, definition_key, element_id, retries, run_at)
    SELECT '_default', :first::bigint + j * 2 + 1, 'charge-payment', :first::bigint + j * 2, :definition::bigint, 'charge',
           3, now()
    FROM generate_series(0, :size::bigint - 1) AS j
    RETURNING bytes
), written AS (
    SELECT bytes FROM started UNION ALL SELECT bytes FROM queued
), counted AS (
    INSERT INTO workflow.tenant_counter AS c (tenant_id, shard, active_instances, minute, jobs, jobs_before, storage_bytes)
    SELECT '_default', :start_shard::smallint, :size::bigint, floor(extract(epoch FROM now()) / 60)::bigint, :size::bigint, 0,
           coalesce(sum(bytes), 0)
    FROM written
    ON CONFLICT (tenant_id, shard) DO UPDATE
    SET active_instances = c.active_instances + EXCLUDED.active_instances,
        storage_bytes = c.storage_bytes + EXCLUDED.storage_bytes,
        jobs_before = CASE WHEN EXCLUDED.minute <= c.minute THEN c.jobs_before
                           WHEN EXCLUDED.minute = c.minute + 1 THEN c.jobs ELSE 0 END,
        jobs = CASE WHEN EXCLUDED.minute <= c.minute THEN c.jobs ELSE 0 END + EXCLUDED.jobs,
        minute = greatest(EXCLUDED.minute, c.minute)
    WHERE EXCLUDED.active_instances <> 0 OR EXCLUDED.jobs <> 0 OR EXCLUDED.storage_bytes <> 0
    RETURNING c.active_instances, c.jobs, c.minute
)
SELECT coalesce(sum(active_instances), 0)::bigint, coalesce(sum(jobs), 0)::bigint FROM counted;
COMMIT;
\startpipeline
BEGIN;
SET LOCAL workflow.tenant_id = '_default';
SELECT workflow.require_epoch('', 1);
\endpipeline
WITH picked AS MATERIALIZED (
    SELECT waiting.key, waiting.run_at
    FROM unnest(ARRAY['charge-payment']) AS wanted(type)
    CROSS JOIN LATERAL (
        SELECT j.key, j.run_at FROM workflow.job j
        WHERE j.tenant_id = '_default' AND j.type = wanted.type AND NOT j.parked AND j.run_at <= now()
        ORDER BY j.run_at LIMIT :size::bigint FOR UPDATE SKIP LOCKED
    ) waiting
    WHERE EXISTS (SELECT FROM workflow.tenant t WHERE t.tenant_id = '_default' AND NOT t.suspended AND t.deleting_since IS NULL)
    ORDER BY waiting.run_at LIMIT :size::bigint
), chosen AS MATERIALIZED (
    SELECT array_agg(key) AS keys, array_agg(run_at) AS run_ats FROM picked
), taken AS (
    UPDATE workflow.job AS j
    SET worker = 'bench', lease_epoch = j.lease_epoch + 1, run_at = now() + make_interval(secs => 60)
    WHERE j.tenant_id = '_default' AND j.key = ANY ((SELECT keys FROM chosen)::bigint[])
    RETURNING j.key, j.type, j.instance_key, j.definition_key, j.element_id, j.retries, j.lease_epoch,
              j.run_at AS lease_expires_at, j.created_at,
              ((SELECT run_ats FROM chosen))[array_position((SELECT keys FROM chosen), j.key)] AS waited_since,
              (SELECT i.variables FROM workflow.instance i
               WHERE i.tenant_id = '_default' AND i.key = j.instance_key) AS variables
)
-- As arrays, so that another client may have been faster.
SELECT coalesce(array_agg(key), '{}') AS jobs, coalesce(array_agg(lease_epoch), '{}') AS epochs,
       coalesce(array_agg(instance_key), '{}') AS instances, count(*) AS taken
FROM taken \gset
COMMIT;
\startpipeline
BEGIN;
SET LOCAL workflow.tenant_id = '_default';
SELECT workflow.require_epoch('', 1);
\endpipeline
WITH deleted AS (
    DELETE FROM workflow.job j
    WHERE j.tenant_id = '_default' AND j.key = ANY (:jobs::bigint[]) AND j.worker IS NOT NULL
      AND j.lease_epoch = (:epochs::bigint[])[array_position(:jobs::bigint[], j.key)]
    RETURNING j.key, j.element_id, j.instance_key, j.bytes
)
SELECT d.key, d.element_id, d.instance_key, i.definition_key, i.marking, i.variables, (SELECT sum(bytes) FROM deleted)
FROM (SELECT * FROM deleted ORDER BY instance_key, key) d
CROSS JOIN LATERAL (
    SELECT i.definition_key, i.marking, i.variables FROM workflow.instance i
    WHERE i.tenant_id = '_default' AND i.key = d.instance_key AND i.state = 1 FOR UPDATE
) i;
-- A job of this type and element counts 148 bytes.
WITH former AS (
    SELECT i.bytes FROM unnest(:instances::bigint[]) AS m(key) CROSS JOIN LATERAL (
        SELECT i.bytes FROM workflow.instance i WHERE i.tenant_id = '_default' AND i.key = m.key LIMIT 1
    ) i
), moved AS (
    INSERT INTO workflow.instance AS i (tenant_id, key, definition_key, state, marking, variables, ended_at)
    SELECT '_default', k.key, :definition::bigint, 2, '{"resting": 0}'::jsonb, 'null'::jsonb, now()
    FROM unnest(:instances::bigint[]) AS k(key)
    ON CONFLICT (tenant_id, key) DO UPDATE
    SET state = EXCLUDED.state, marking = EXCLUDED.marking, ended_at = EXCLUDED.ended_at,
        variables = CASE EXCLUDED.variables WHEN 'null' THEN i.variables ELSE EXCLUDED.variables END
    RETURNING bytes
), counted AS (
    INSERT INTO workflow.tenant_counter AS c (tenant_id, shard, active_instances, minute, jobs, jobs_before, storage_bytes)
    SELECT '_default', :shard::smallint, - :taken::bigint, floor(extract(epoch FROM now()) / 60)::bigint, 0, 0,
           coalesce(sum(bytes), 0) - (SELECT coalesce(sum(bytes), 0) FROM former) - :taken::bigint * 148
    FROM moved
    ON CONFLICT (tenant_id, shard) DO UPDATE
    SET active_instances = c.active_instances + EXCLUDED.active_instances,
        storage_bytes = c.storage_bytes + EXCLUDED.storage_bytes,
        jobs_before = CASE WHEN EXCLUDED.minute <= c.minute THEN c.jobs_before
                           WHEN EXCLUDED.minute = c.minute + 1 THEN c.jobs ELSE 0 END,
        jobs = CASE WHEN EXCLUDED.minute <= c.minute THEN c.jobs ELSE 0 END + EXCLUDED.jobs,
        minute = greatest(EXCLUDED.minute, c.minute)
    WHERE EXCLUDED.active_instances <> 0 OR EXCLUDED.jobs <> 0 OR EXCLUDED.storage_bytes <> 0
    RETURNING c.active_instances, c.jobs, c.minute
)
SELECT coalesce(sum(active_instances), 0)::bigint, coalesce(sum(jobs), 0)::bigint FROM counted;
COMMIT;
