//! Test setup: engines' databases with rows of several tenants, and calls of the agent.

pub(crate) mod process;
pub(crate) mod s3;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backup_agent::args::Cli;
use backup_agent::programs::Programs;
use backup_format::{BackupReport, DrillReport, Failure, Outcome, Reason, RestoreReport, VerifyReport};
use clap::Parser as _;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use test_support::postgres::{TestDatabase, TestPostgres};
use tokio_util::sync::CancellationToken;
use workflow_engine::args::UpTo;
use workflow_engine::schema::migrate::{self, Order};

pub(crate) const OWNER: &str = "installation-1/prod/orders";
pub(crate) const TENANTS: [&str; 3] = ["_default", "acme", "globex\t\\N"];

/// What the login of the cluster's Secret may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It owns its database and nothing else.
    PlainOwner,
    /// It may create roles, so the engine has `wf_app` and `wf_monitor`.
    CreatesRoles,
    Superuser,
}

/// Folders for backups and for the files with credentials.
pub(crate) struct World {
    pub(crate) postgres: &'static TestPostgres,
    files: TempDir,
}

impl World {
    pub(crate) fn new(postgres: &'static TestPostgres) -> Self {
        // Fails when another test of this process has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let files = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(files.path().join("backups")).expect("a folder");
        Self { postgres, files }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    pub(crate) fn backups(&self) -> PathBuf {
        self.path("backups")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).expect("is written");
        self.path(name)
    }

    /// An empty database whose owner is of this kind.
    pub(crate) async fn database(&self, kind: Kind) -> TestDatabase {
        let database = self.postgres.fresh_database().await;
        let attributes = match kind {
            Kind::PlainOwner => "NOCREATEROLE",
            Kind::CreatesRoles => "CREATEROLE",
            Kind::Superuser => "SUPERUSER",
        };
        let mut superuser = self.superuser(&database).await;
        let alter = format!("ALTER ROLE {} {attributes}", database.user);
        superuser.execute(AssertSqlSafe(alter)).await.expect("is altered");
        database
    }

    pub(crate) async fn superuser(&self, database: &TestDatabase) -> PgConnection {
        let options = self.postgres.superuser().database(&database.name);
        PgConnection::connect_with(&options).await.expect("the superuser connects")
    }

    /// A database with the engine's schema and rows of every tenant in every table.
    pub(crate) async fn engine_database(&self, kind: Kind, up_to: UpTo) -> TestDatabase {
        let database = self.database(kind).await;
        migrate(&database, up_to).await;
        let mut session = self.superuser(&database).await;
        seed(&mut session, 40).await;
        database
    }

    /// The agent's arguments for a database.
    pub(crate) fn of_database(&self, database: &TestDatabase) -> Vec<OsString> {
        let user = self.write(&format!("{}-user", database.name), &database.user);
        let password =
            self.write(&format!("{}-password", database.name), &format!("{}\n", database.password));
        [
            "--database-host".into(),
            database.host.clone().into(),
            "--database-port".into(),
            database.port.to_string().into(),
            "--database-name".into(),
            database.name.clone().into(),
            "--database-user-file".into(),
            user.into(),
            "--database-password-file".into(),
            password.into(),
        ]
        .into()
    }

    /// The agent's arguments for a backup in the folder.
    pub(crate) fn of_folder(&self, id: &str) -> Vec<OsString> {
        let destination = format!("file://{}", self.backups().display());
        ["--backup-id".into(), id.into(), "--destination".into(), destination.into()].into()
    }

    pub(crate) fn backup_arguments(&self, database: &TestDatabase, place: Vec<OsString>) -> Vec<OsString> {
        let mut arguments = vec!["backup".into()];
        arguments.extend(self.of_database(database));
        arguments.extend(place);
        arguments.extend(["--engine-version", "1.3.0", "--owner", OWNER].map(OsString::from));
        arguments
    }

    pub(crate) fn restore_arguments(&self, database: &TestDatabase, place: Vec<OsString>) -> Vec<OsString> {
        let mut arguments = vec!["restore".into()];
        arguments.extend(self.of_database(database));
        arguments.extend(place);
        arguments.extend(
            [
                "--target-engine-version",
                "1.3.0",
                "--max-schema-version",
                "3",
                "--new-owner",
                "installation-2/dr/orders",
            ]
            .map(OsString::from),
        );
        arguments
    }

    pub(crate) async fn backup(&self, database: &TestDatabase, id: &str) -> BackupReport {
        backed_up(run(self.backup_arguments(database, self.of_folder(id))).await)
    }

    pub(crate) async fn restore(&self, database: &TestDatabase, id: &str) -> RestoreReport {
        restored(run(self.restore_arguments(database, self.of_folder(id))).await)
    }

    pub(crate) async fn try_restore(&self, database: &TestDatabase, id: &str, reason: Reason) -> Failure {
        failed(run(self.restore_arguments(database, self.of_folder(id))).await, reason)
    }

    /// The file with the data of a backup.
    pub(crate) fn data_file(&self, id: &str) -> PathBuf {
        let entries = std::fs::read_dir(self.backups().join(id)).expect("the backup's folder");
        let mut names = entries.flatten().map(|entry| entry.path());
        let is_data = |path: &PathBuf| path.file_name().is_some_and(|name| name != "manifest.json");
        names.find(is_data).expect("the data")
    }
}

/// Runs the agent in this process.
pub(crate) async fn run(arguments: Vec<OsString>) -> Outcome {
    run_until(arguments, &CancellationToken::new()).await
}

pub(crate) async fn run_until(arguments: Vec<OsString>, stop: &CancellationToken) -> Outcome {
    let cli = Cli::parse_from(std::iter::once(OsString::from("backup-agent")).chain(arguments));
    let programs = Programs::default();
    let working = backup_agent::run::run(&cli.command, &programs, stop);
    tokio::time::timeout(Duration::from_mins(2), working).await.expect("the agent ends")
}

pub(crate) fn backed_up(outcome: Outcome) -> BackupReport {
    match outcome {
        Outcome::Backup(report) => report,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn restored(outcome: Outcome) -> RestoreReport {
    match outcome {
        Outcome::Restore(report) => report,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn verified(outcome: Outcome) -> VerifyReport {
    match outcome {
        Outcome::Verify(report) => report,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn drilled(outcome: Outcome) -> DrillReport {
    match outcome {
        Outcome::Drill(report) => report,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn failed(outcome: Outcome, reason: Reason) -> Failure {
    match outcome {
        Outcome::Failure(failure) if failure.reason == reason => failure,
        other => panic!("expected {reason:?}, got {other:?}"),
    }
}

/// As `cluster-controller` claims a database; `owner` is `<installation>/<namespace>/<name>`.
pub(crate) async fn claim(superuser: &mut PgConnection, database: &TestDatabase, owner: &str) {
    let parts: Vec<&str> = owner.split('/').collect();
    let make = format!(
        "CREATE SCHEMA IF NOT EXISTS workflow AUTHORIZATION {user};
         CREATE TABLE workflow.database_claim (
             singleton boolean PRIMARY KEY DEFAULT true, installation text NOT NULL, namespace text NOT NULL,
             name text NOT NULL, uid text NOT NULL, epoch bigint NOT NULL,
             claimed_at timestamptz NOT NULL DEFAULT now(), released_at timestamptz);
         ALTER TABLE workflow.database_claim OWNER TO {user};
         INSERT INTO workflow.database_claim VALUES (true, '{}', '{}', '{}', 'uid', 7)",
        parts[0],
        parts[1],
        parts[2],
        user = database.user
    );
    superuser.execute(AssertSqlSafe(make)).await.expect("is claimed");
}

/// As `workflow-engine migrate` does.
pub(crate) async fn migrate(database: &TestDatabase, up_to: UpTo) {
    let mut connection = PgConnection::connect_with(&database.options()).await.expect("connects");
    let order = Order {
        to: workflow_engine::release::version().parse().expect("is a version"),
        up_to,
        approve_breaking: false,
        claim: None,
        lock_timeout: Duration::from_secs(30),
    };
    migrate::run(&mut connection, &order).await.expect("migrates");
}

/// Rows of every tenant in every table, of several values that are easily written wrong. The superuser's row-level
/// security is off.
pub(crate) async fn seed(superuser: &mut PgConnection, count: i32) {
    for (number, tenant) in TENANTS.iter().enumerate() {
        let first = 1_000_000 * i64::try_from(number).expect("is small");
        for statement in [
            "INSERT INTO workflow.tenant (tenant_id, display_name, max_active_instances, max_jobs_per_minute,
                 max_storage_bytes, suspended, owner, generation)
             SELECT $1, 'Größe \\ ''x''', $2, $3 % 7, 0, false, '', 1 ON CONFLICT DO NOTHING",
            "INSERT INTO workflow.tenant_counter SELECT $1, i, $2 + i, 0, 0, 0, $3 FROM generate_series(1, 3) i",
            "INSERT INTO workflow.process SELECT $1, 'order-' || i, 'WorkflowProcess/elsewhere/order', 'uid', now(), $2 + $3
             FROM generate_series(1, 3) i",
            "INSERT INTO workflow.process_definition (tenant_id, key, process_id, version, version_tag, sha256,
                 resource_name, content, job_types)
             SELECT $1, $3 + i, 'order-' || i, 1, 'v\t' || $2, 'ab', 'order.bpmn', decode('00ff5c0a09', 'hex'), '{charge,\"a b\"}'
             FROM generate_series(1, 3) i",
            "INSERT INTO workflow.job_type SELECT $1, 'type-' || $2 || $3",
            "INSERT INTO workflow.instance (tenant_id, key, definition_key, state, marking, variables, ended_at)
             SELECT $1, $3 + i, $3 + 1, 1 + i % 2, '{\"a\": 1}', jsonb_build_object('n', 1.50, 'line', E'a\nb\t\\\\.', 'i', i),
                    CASE WHEN i % 2 = 1 THEN now() END
             FROM generate_series(1, $2) i",
            "INSERT INTO workflow.job (tenant_id, key, type, instance_key, definition_key, element_id, retries, run_at, worker,
                 lease_epoch)
             SELECT $1, $3 + i, 'charge', $3 + i, $3 + 1, 'task', 3, now() + interval '1 hour',
                    CASE WHEN i % 4 = 0 THEN 'worker-' || i END, i
             FROM generate_series(1, $2) i",
            "INSERT INTO workflow.incident (tenant_id, key, instance_key, definition_key, element_id, message, job_key, tokens,
                 kind)
             SELECT $1, $3 + $2, $3 + 1, $3 + 1, 'task', E'no\nmoney', $3 + 1, 1, 1",
            "INSERT INTO workflow.request_log (tenant_id, request_id, body_sha256, response)
             SELECT $1, 'request-' || $2 || $3, '\\x00', '\\xff00'",
        ] {
            sqlx::query(statement)
                .bind(tenant)
                .bind(count)
                .bind(first)
                .execute(&mut *superuser)
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }
    superuser
        .execute(
            "INSERT INTO workflow.node VALUES ('engine-0', '1.3.0', now());
             INSERT INTO workflow.writer VALUES ('process-controller', 99);
             SELECT setval('workflow.key_block', 4711)",
        )
        .await
        .expect("is inserted");
}

/// Every row of every table as text, in order: what two databases are compared by, apart from the agent's own digests. For
/// which version the schema is complete is left out: a restore forgets it.
pub(crate) async fn contents(superuser: &mut PgConnection) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'workflow'::regnamespace AND relkind = 'r'
           AND relname NOT IN ('node', 'writer', 'restored', 'restore_begun', 'database_claim') ORDER BY 1",
    )
    .fetch_all(&mut *superuser)
    .await
    .expect("are listed");
    superuser.execute("SET TimeZone = 'UTC'").await.expect("is set");
    let mut all = Vec::new();
    for table in tables {
        let row = if table == "schema_state" { "(contracted_to, begun)::text" } else { "t::text" };
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT {row} FROM workflow.{table} t ORDER BY 1")))
                .fetch_all(&mut *superuser)
                .await
                .expect("are read");
        all.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
    }
    all
}

/// Bytes of a file changed in place.
pub(crate) fn flip_bit(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).expect("is read");
    bytes[at] ^= 1;
    std::fs::write(file, bytes).expect("is written");
}
