-- EXPAND
-- Incidents have a kind (workflow.engine.v1.IncidentKind). The version before writes none: whoever reads judges such a row by
-- its other columns, as 0003 does.
ALTER TABLE workflow.incident ADD COLUMN kind smallint CHECK (kind BETWEEN 1 AND 5);
