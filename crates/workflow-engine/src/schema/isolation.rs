//! Checks the isolation of tenants, before a node serves and for `VerifyIsolation`.

use sqlx::PgConnection;

/// Every table with tenants' rows. The other tables have none: `database_claim`, `node`, `schema_migration`, `schema_state`
/// and `writer`.
const TENANT_TABLES: [&str; 9] = [
    "incident",
    "instance",
    "job",
    "job_type",
    "process",
    "process_definition",
    "request_log",
    "tenant",
    "tenant_counter",
];

/// Everything that breaks the isolation for the role of this session, as sentences; empty when tenants are isolated.
/// The session must have the role that serves.
pub async fn observe_violations(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let mut violations = Vec::new();
    let (superuser, bypass): (bool, bool) =
        sqlx::query_as("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
            .fetch_one(&mut *connection)
            .await?;
    if superuser || bypass {
        let why = if superuser { "a superuser" } else { "allowed to bypass row-level security" };
        violations.push(format!(
            "the serving database role is {why}: run `workflow-engine migrate` with a user that may create roles, or give the cluster a plain user"
        ));
    }
    let tables = sqlx::query_as::<_, (String, bool, bool, bool)>(
        "SELECT c.relname::text, c.relrowsecurity, c.relforcerowsecurity,
                EXISTS (SELECT FROM pg_policy p
                        WHERE p.polrelid = c.oid AND p.polname = 'tenant_wall' AND p.polpermissive AND p.polcmd = '*')
         FROM pg_class c WHERE c.relnamespace = 'workflow'::regnamespace AND c.relkind IN ('r', 'p')",
    )
    .fetch_all(&mut *connection)
    .await?;
    for table in TENANT_TABLES {
        match tables.iter().find(|(name, ..)| name == table) {
            None => violations.push(format!("table {table} is missing")),
            Some((_, true, true, true)) => {}
            Some((_, enabled, forced, has_policy)) => {
                if !enabled {
                    violations.push(format!("table {table} has row-level security off"));
                }
                if !forced {
                    violations.push(format!("table {table} does not force row-level security on its owner"));
                }
                if !has_policy {
                    violations.push(format!("table {table} has lost its policy tenant_wall"));
                }
            }
        }
    }
    let foreign = sqlx::query_as::<_, (String, String)>(
        "SELECT c.relname::text, p.polname::text FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
         WHERE c.relnamespace = 'workflow'::regnamespace AND p.polpermissive
           AND NOT (p.polname = 'tenant_wall' OR (p.polname = 'monitor_read' AND p.polcmd = 'r'))
         ORDER BY 1, 2",
    )
    .fetch_all(connection)
    .await?;
    for (table, policy) in foreign {
        violations.push(format!("table {table} has the unknown policy {policy}, which may open it"));
    }
    Ok(violations)
}

/// The tables in which a transaction of one tenant can read rows of others; must be empty. It reads the tables
/// themselves, not the catalog.
pub async fn observe_foreign_rows(
    connection: &mut PgConnection,
    tenant: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let mut violations = Vec::new();
    for table in TENANT_TABLES {
        // Two ranges instead of `<>`: with row level security the index then finds nothing at once, however big the
        // tenant is.
        let probe = format!(
            "SELECT EXISTS (SELECT FROM workflow.{table} WHERE tenant_id < $1)
                 OR EXISTS (SELECT FROM workflow.{table} WHERE tenant_id > $1)"
        );
        let visible: bool =
            sqlx::query_scalar(sqlx::AssertSqlSafe(probe)).bind(tenant).fetch_one(&mut *connection).await?;
        if visible {
            violations.push(format!("rows of other tenants are visible in table {table}"));
        }
    }
    Ok(violations)
}
