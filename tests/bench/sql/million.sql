-- A million waiting jobs of a thousand (tenant, job type) pairs.
INSERT INTO workflow.job (tenant_id, key, type, instance_key, definition_key, element_id, retries, run_at)
SELECT 'tenant-' || n % 10, 9000000000000000 + n, 'type-' || n / 10 % 100, n, 1, 'charge', 3,
       now() - make_interval(secs => n / 1000.0)
FROM generate_series(1, 1000000) AS n
