-- EXPAND
-- Incidents have a kind (workflow.engine.v1.IncidentKind). Version 1.2 writes NULL; readers then derive the kind from the other
-- columns, as 0003 does.
ALTER TABLE workflow.incident ADD COLUMN kind smallint CHECK (kind BETWEEN 1 AND 5);
