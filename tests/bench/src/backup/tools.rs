//! The programs that are compared, on the engine's database and on empty ones.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use age::secrecy::ExposeSecret as _;
use anyhow::{Context as _, ensure};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use test_support::postgres::TestDatabase;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::world::World;

/// `pg_dump` as this role reads every row; the engine's own login does not without the agent's policies.
const ROLE: &str = "bench_tools";
const PASSWORD: &str = "tools-of-this-bench";
/// What the agent dumps as well.
const DUMP: [&str; 4] = ["--format=custom", "--schema=workflow", "--no-owner", "--no-privileges"];
/// As the agent loads: all or nothing.
const LOAD: [&str; 3] = ["--no-owner", "--no-privileges", "--single-transaction"];

/// Whether a backup is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seal {
    Open,
    Age,
}

pub(super) struct Tools<'a> {
    pub(super) world: &'a World,
    agent: PathBuf,
    schema_version: i64,
    files: TempDir,
}

impl<'a> Tools<'a> {
    pub(super) async fn prepare(world: &'a World, agent: &Path) -> anyhow::Result<Self> {
        let files = tempfile::tempdir()?;
        std::fs::create_dir(files.path().join("backups"))?;
        let identity = age::x25519::Identity::generate();
        std::fs::write(files.path().join("recipient"), identity.to_public().to_string())?;
        std::fs::write(files.path().join("identity"), identity.to_string().expose_secret())?;
        let mut session = world.session().await?;
        session
            .execute(AssertSqlSafe(format!("CREATE ROLE {ROLE} SUPERUSER LOGIN PASSWORD '{PASSWORD}'")))
            .await?;
        let schema_version = sqlx::query_scalar("SELECT max(version) FROM workflow.schema_migration")
            .fetch_one(&mut session)
            .await?;
        let tools = Self { world, agent: agent.to_owned(), schema_version, files };
        // The first backup of a database creates policies in it.
        tools.back_up("warm-up", Seal::Open).await?;
        tools.remove_backup("warm-up")?;
        Ok(tools)
    }

    pub(super) async fn pg_dump(&self) -> anyhow::Result<()> {
        let mut command = self.client("pg_dump");
        command.args(DUMP).arg("--file").arg(self.dump_file()).arg(&self.world.database.name);
        run(command, "pg_dump").await
    }

    pub(super) fn dump_file(&self) -> PathBuf {
        self.files.path().join("dump")
    }

    pub(super) async fn pg_restore(&self, into: &TestDatabase) -> anyhow::Result<()> {
        let mut command = self.client("pg_restore");
        command.args(LOAD).arg("--dbname").arg(&into.name).arg(self.dump_file());
        run(command, "pg_restore").await
    }

    /// `pg_dump | pg_restore`, without a file between.
    pub(super) async fn pipe(&self, into: &TestDatabase) -> anyhow::Result<()> {
        let mut dump = self.client("pg_dump");
        dump.args(DUMP).arg(&self.world.database.name).stdout(Stdio::piped());
        let mut dumping = dump.spawn().context("starting pg_dump")?;
        let output: Stdio = dumping.stdout.take().context("pg_dump has no output")?.try_into()?;
        let mut restore = self.client("pg_restore");
        restore.args(LOAD).arg("--dbname").arg(&into.name).stdin(output);
        run(restore, "pg_restore").await?;
        ensure!(dumping.wait().await?.success(), "pg_dump failed");
        Ok(())
    }

    /// Bytes of all rows as text, as a plain `pg_dump` writes them.
    pub(super) async fn count_text(&self) -> anyhow::Result<u64> {
        let mut command = self.client("pg_dump");
        command.args(["--schema=workflow", "--data-only"]).arg(&self.world.database.name);
        let mut dumping = command.stdout(Stdio::piped()).spawn().context("starting pg_dump")?;
        let mut output = dumping.stdout.take().context("pg_dump has no output")?;
        let (mut piece, mut total) = (vec![0; 256 * 1024], 0);
        loop {
            let length = output.read(&mut piece).await?;
            if length == 0 {
                break;
            }
            total += u64::try_from(length)?;
        }
        ensure!(dumping.wait().await?.success(), "pg_dump failed");
        Ok(total)
    }

    pub(super) async fn back_up(&self, id: &str, seal: Seal) -> anyhow::Result<()> {
        let mut command = self.agent("backup", &self.world.database, id)?;
        command.args(["--engine-version", &self.world.version, "--owner", "bench/bench/source"]);
        if seal == Seal::Age {
            command.arg("--recipient-file").arg(self.files.path().join("recipient"));
        }
        run(command, "backup-agent backup").await
    }

    pub(super) async fn restore(&self, id: &str, seal: Seal, into: &TestDatabase) -> anyhow::Result<()> {
        let mut command = self.agent("restore", into, id)?;
        command
            .args(["--target-engine-version", &self.world.version, "--new-owner", "bench/bench/target"])
            .args(["--max-schema-version", &self.schema_version.to_string()]);
        if seal == Seal::Age {
            command.arg("--identity-file").arg(self.files.path().join("identity"));
        }
        run(command, "backup-agent restore").await
    }

    pub(super) fn remove_backup(&self, id: &str) -> anyhow::Result<()> {
        Ok(std::fs::remove_dir_all(self.backups().join(id))?)
    }

    /// One after another until then; the seconds of each.
    pub(super) async fn repeat(&self, program: Program, until: Instant) -> anyhow::Result<Vec<f64>> {
        let mut seconds = Vec::new();
        while Instant::now() < until {
            let began = Instant::now();
            match program {
                Program::PgDump => self.pg_dump().await?,
                Program::Agent => self.back_up("beside", Seal::Open).await?,
            }
            seconds.push(began.elapsed().as_secs_f64());
            if program == Program::Agent {
                self.remove_backup("beside")?;
            }
        }
        Ok(seconds)
    }

    /// Compares how many instances and jobs are there, then drops it.
    pub(super) async fn check_and_drop(&self, database: TestDatabase) -> anyhow::Result<()> {
        let mut target =
            PgConnection::connect_with(&self.world.postgres.superuser().database(&database.name)).await?;
        let (wanted, found) = (count(&mut self.world.session().await?).await?, count(&mut target).await?);
        target.close().await?;
        ensure!(wanted == found, "restored are {found:?} instances and jobs, wanted {wanted:?}");
        let mut session = self.world.session().await?;
        session.execute(AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", database.name))).await?;
        Ok(())
    }

    fn backups(&self) -> PathBuf {
        self.files.path().join("backups")
    }

    /// One of PostgreSQL's programs.
    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.world.postgres.bindir().join(program));
        command
            .env("PGHOST", &self.world.database.host)
            .env("PGPORT", self.world.database.port.to_string())
            .env("PGUSER", ROLE)
            .env("PGPASSWORD", PASSWORD)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        command
    }

    fn agent(&self, subcommand: &str, database: &TestDatabase, id: &str) -> anyhow::Result<Command> {
        let (user, password) = (self.files.path().join("user"), self.files.path().join("password"));
        std::fs::write(&user, &database.user)?;
        std::fs::write(&password, &database.password)?;
        let mut command = Command::new(&self.agent);
        command
            .arg(subcommand)
            .args(["--database-host", &database.host, "--database-port", &database.port.to_string()])
            .args(["--database-name", &database.name, "--backup-id", id, "--log", "warn"])
            .args(["--destination", &format!("file://{}", self.backups().display())])
            .arg("--database-user-file")
            .arg(user)
            .arg("--database-password-file")
            .arg(password)
            .arg("--postgres-bindir")
            .arg(self.world.postgres.bindir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }
}

/// Who reads the whole database beside the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    PgDump,
    Agent,
}

async fn run(mut command: Command, name: &str) -> anyhow::Result<()> {
    let output = command.stderr(Stdio::piped()).output().await.with_context(|| format!("starting {name}"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

async fn count(session: &mut PgConnection) -> anyhow::Result<(i64, i64)> {
    let counts = "SELECT (SELECT count(*) FROM workflow.instance), (SELECT count(*) FROM workflow.job)";
    Ok(sqlx::query_as(counts).fetch_one(session).await?)
}
