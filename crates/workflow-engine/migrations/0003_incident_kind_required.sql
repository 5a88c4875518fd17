-- CONTRACT
-- Every incident has a kind: the version before, which writes none, can raise no incident any more.
-- The wall between tenants also holds the owner of the table, who must see every row here, and only within this transaction.
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
