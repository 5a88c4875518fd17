-- CONTRACT
-- The kind of an incident is required. Version 1.2, which writes NULL, cannot raise incidents any more.
-- FORCE applies row-level security to the table's owner too. It is off within this transaction, so that every row is updated.
ALTER TABLE workflow.incident NO FORCE ROW LEVEL SECURITY;

UPDATE workflow.incident SET kind = CASE
    WHEN job_key IS NOT NULL THEN 1
    WHEN tokens = 0 THEN 5
    WHEN message = 'the process moved 1000 times without reaching a task or an end: it loops' THEN 4
    WHEN message = 'the retries expression gives no number' THEN 3
    ELSE 2
END
WHERE kind IS NULL;

ALTER TABLE workflow.incident FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow.incident ALTER COLUMN kind SET NOT NULL;
