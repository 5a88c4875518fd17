//! The database roles of a serving process. The WorkflowCluster's Secret names one user, which owns the schema. If that
//! user may create roles, `migrate` creates two without login, and `serve` switches to them in each session: `wf_app_…`
//! owns nothing, and `wf_monitor_…` may only read lag and usage. Otherwise the engine serves as the owner, which FORCE
//! ROW LEVEL SECURITY restricts. For a user that can bypass row level security the roles are required, else the engine
//! does not serve.

use sqlx::{AssertSqlSafe, Executor, PgConnection};

use crate::digest;

/// Tables that `wf_monitor_…` reads across tenants.
const MONITORED: [&str; 4] = ["tenant", "tenant_counter", "job_type", "job"];

/// The roles that exist for the session's user; both or none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roles {
    pub app: Option<String>,
    pub monitor: Option<String>,
}

/// Names of the roles. They contain a digest of the database's name, because roles belong to the whole server.
fn names(database: &str) -> (String, String) {
    let suffix = digest::short_hex(database);
    (format!("wf_app_{suffix}"), format!("wf_monitor_{suffix}"))
}

async fn database_name(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar("SELECT current_database()::text").fetch_one(connection).await
}

/// The roles that this session may switch to.
pub async fn observe_roles(connection: &mut PgConnection) -> Result<Roles, sqlx::Error> {
    let (app, monitor) = names(&database_name(connection).await?);
    let usable: bool = sqlx::query_scalar(
        "SELECT count(*) = 2 FROM pg_roles WHERE rolname IN ($1, $2) AND pg_has_role(session_user, oid, 'MEMBER')",
    )
    .bind(&app)
    .bind(&monitor)
    .fetch_one(connection)
    .await?;
    Ok(if usable { Roles { app: Some(app), monitor: Some(monitor) } } else { Roles::default() })
}

/// Creates the roles if the user may, and grants them (or the owner) exactly what serving needs. Idempotent.
pub async fn apply_roles(connection: &mut PgConnection) -> Result<Roles, sqlx::Error> {
    let (app, monitor) = names(&database_name(connection).await?);
    let may_create: bool =
        sqlx::query_scalar("SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user")
            .fetch_one(&mut *connection)
            .await?;
    if may_create {
        for role in [&app, &monitor] {
            let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
                .bind(role)
                .fetch_one(&mut *connection)
                .await?;
            if !exists {
                let create =
                    format!("CREATE ROLE \"{role}\" NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS");
                connection.execute(AssertSqlSafe(create)).await?;
            }
            let grant = format!("GRANT \"{role}\" TO CURRENT_USER");
            connection.execute(AssertSqlSafe(grant)).await?;
        }
    }
    let roles = observe_roles(connection).await?;
    if let Some(app) = &roles.app {
        let grants = format!(
            "GRANT USAGE ON SCHEMA workflow TO \"{app}\";
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA workflow TO \"{app}\";
             REVOKE INSERT, UPDATE, DELETE ON workflow.schema_migration, workflow.schema_state FROM \"{app}\";
             DO $$ BEGIN
                 IF to_regclass('workflow.database_claim') IS NOT NULL THEN
                     REVOKE INSERT, UPDATE, DELETE ON workflow.database_claim FROM \"{app}\";
                 END IF;
             END $$;
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA workflow TO \"{app}\";"
        );
        connection.execute(AssertSqlSafe(grants)).await?;
    }
    if let Some(monitor) = &roles.monitor {
        connection.execute(AssertSqlSafe(format!("GRANT USAGE ON SCHEMA workflow TO \"{monitor}\""))).await?;
    }
    for table in MONITORED {
        // Without the roles the policy is for the owner. In both cases it applies only in transactions that set the
        // scope.
        let reader = roles.monitor.as_ref().map_or("CURRENT_USER".to_owned(), |role| format!("\"{role}\""));
        let policy = format!(
            "DROP POLICY IF EXISTS monitor_read ON workflow.{table};
             CREATE POLICY monitor_read ON workflow.{table} FOR SELECT TO {reader}
                 USING (current_setting('workflow.scope', true) = 'monitor');"
        );
        connection.execute(AssertSqlSafe(policy)).await?;
        if let Some(monitor) = &roles.monitor {
            let grant = format!("GRANT SELECT ON workflow.{table} TO \"{monitor}\"");
            connection.execute(AssertSqlSafe(grant)).await?;
        }
    }
    Ok(roles)
}
