//! Makes every tenant's rows readable for the login, where row-level security would hide them.
//!
//! The engine's tables force row-level security on their owner, and a managed Postgres gives nobody `BYPASSRLS`. Without
//! more, `pg_dump --enable-row-security` would write tables without rows and succeed. The engine has the policy
//! `monitor_read` on the tables of which it reads figures: it opens them for reading to a session that sets
//! `workflow.scope`. Every released engine accepts a policy of this name, for SELECT only, on any table. So the agent makes
//! it on the others.

use std::time::{Duration, Instant};

use backup_format::{Failure, OPERATOR_TABLES, Reason};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::database::{failed, has_code, quoted};

/// The policy's name, which the engine knows.
const POLICY: &str = "monitor_read";
/// Its condition as Postgres writes it back.
const CONDITION: &str = "(current_setting('workflow.scope'::text, true) = 'monitor'::text)";
/// A waiting CREATE POLICY makes every later statement on the table wait as well, so it waits for a moment only.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '1s'";
/// Between two tries the engine works on.
const PAUSE: Duration = Duration::from_secs(2);
/// After this the table counts as in use for good.
const PATIENCE: Duration = Duration::from_mins(2);

/// What a table needs so that the session sees every row of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Need {
    CreatePolicy,
    /// The policy is there for other roles.
    JoinPolicy,
}

#[derive(Debug, sqlx::FromRow)]
struct Walled {
    table: String,
    restricted_by: Option<String>,
    is_open: bool,
    /// The condition of the policy of our name.
    condition: Option<String>,
}

/// Makes the policies that are missing. Afterwards the session, and every other one of the same user with the same scope,
/// sees all rows of all tables; else it fails.
pub async fn apply_reading(connection: &mut PgConnection) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        let needs = observe_needs(connection).await?;
        let mut blocked = None;
        for (table, need) in &needs {
            match apply_need(connection, table, need).await {
                Ok(()) => tracing::info!(table, "the table can be read as a whole"),
                Err(error) if has_code(&error, "55P03") => blocked = Some(table),
                // Another agent was faster.
                Err(error) if has_code(&error, "42710") => {}
                Err(error) if has_code(&error, "42501") => {
                    return Err(Failure::new(
                        Reason::DatabaseNotReadable,
                        format!(
                            "the database user cannot see every tenant's rows in table {table} and does not own it: use the user that runs 'workflow-engine migrate', or one with BYPASSRLS"
                        ),
                    ));
                }
                Err(error) if has_code(&error, "25006") => {
                    return Err(Failure::new(
                        Reason::DatabaseNotReadable,
                        format!(
                            "the database is read-only and table {table} has no policy {POLICY} yet: make the first backup from the primary"
                        ),
                    ));
                }
                Err(error) => return Err(failed("make the policy monitor_read", &error)),
            }
        }
        if needs.is_empty() {
            return Ok(());
        }
        if let Some(table) = blocked {
            if began.elapsed() > PATIENCE {
                return Err(Failure::new(
                    Reason::TimedOut,
                    format!(
                        "table {table} was in use for {} s, so the policy {POLICY} could not be made: the next try may find a free moment",
                        PATIENCE.as_secs()
                    ),
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn apply_need(connection: &mut PgConnection, table: &str, need: &Need) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    transaction.execute(LOCK_TIMEOUT).await?;
    let table_name = quoted(table);
    let statement = match need {
        Need::CreatePolicy => format!(
            "CREATE POLICY {POLICY} ON workflow.{table_name} FOR SELECT TO CURRENT_USER \
             USING (current_setting('workflow.scope', true) = 'monitor')"
        ),
        Need::JoinPolicy => {
            let roles: Vec<String> = sqlx::query_scalar(
                "SELECT r.rolname::text FROM pg_policy p JOIN pg_roles r ON r.oid = ANY (p.polroles)
                 WHERE p.polrelid = to_regclass('workflow.' || quote_ident($1)) AND p.polname = $2",
            )
            .bind(table)
            .bind(POLICY)
            .fetch_all(&mut *transaction)
            .await?;
            let roles: Vec<String> = roles.iter().map(|role| quoted(role)).collect();
            let others = if roles.is_empty() { String::new() } else { format!("{}, ", roles.join(", ")) };
            format!("ALTER POLICY {POLICY} ON workflow.{table_name} TO {others}CURRENT_USER")
        }
    };
    transaction.execute(AssertSqlSafe(statement)).await?;
    transaction.commit().await
}

/// The tables of which the session would not see every row, as the catalog says: whom policies apply to, and what their
/// conditions are. The rows themselves cannot show it.
async fn observe_needs(connection: &mut PgConnection) -> Result<Vec<(String, Need)>, Failure> {
    let walled = sqlx::query_as::<_, Walled>(
        "SELECT c.relname::text AS table,
                (SELECT min(p.polname::text) FROM pg_policy p
                 WHERE p.polrelid = c.oid AND NOT p.polpermissive AND p.polcmd IN ('r', '*')
                   AND EXISTS (SELECT FROM unnest(p.polroles) AS granted(role)
                                WHERE role = 0 OR pg_has_role(role, 'USAGE'))) AS restricted_by,
                EXISTS (SELECT FROM pg_policy p
                        WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('r', '*')
                   AND EXISTS (SELECT FROM unnest(p.polroles) AS granted(role)
                                WHERE role = 0 OR pg_has_role(role, 'USAGE'))
                          AND pg_get_expr(p.polqual, p.polrelid) = $1) AS is_open,
                (SELECT pg_get_expr(p.polqual, p.polrelid) FROM pg_policy p
                 WHERE p.polrelid = c.oid AND p.polname = $2 AND p.polpermissive AND p.polcmd = 'r') AS condition
         FROM pg_class c JOIN pg_roles me ON me.rolname = current_user
         WHERE c.relnamespace = to_regnamespace('workflow') AND c.relkind IN ('r', 'p') AND c.relname <> ALL ($3)
           AND c.relrowsecurity AND NOT me.rolsuper AND NOT me.rolbypassrls
           AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE'))
         ORDER BY 1",
    )
    .bind(CONDITION)
    .bind(POLICY)
    .bind(OPERATOR_TABLES.as_slice())
    .fetch_all(connection)
    .await
    .map_err(|error| failed("read the policies of the tables", &error))?;
    let mut needs = Vec::new();
    for Walled { table, restricted_by, is_open, condition } in walled {
        if let Some(policy) = restricted_by {
            return Err(Failure::new(
                Reason::DatabaseNotReadable,
                format!(
                    "table {table} has the restrictive policy {policy}, which may hide rows from a backup: drop it, or use a user with BYPASSRLS"
                ),
            ));
        }
        match condition {
            _ if is_open => {}
            None => needs.push((table, Need::CreatePolicy)),
            Some(condition) if condition == CONDITION => needs.push((table, Need::JoinPolicy)),
            Some(_) => {
                return Err(Failure::new(
                    Reason::DatabaseNotReadable,
                    format!(
                        "table {table} has a policy {POLICY} with another condition than the engine's: drop it"
                    ),
                ));
            }
        }
    }
    Ok(needs)
}
