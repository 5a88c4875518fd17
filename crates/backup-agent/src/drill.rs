//! `drill`: a restore into a PostgreSQL server that exists only for it.

mod server;

use std::time::{Duration, Instant};

use backup_format::{DrillReport, Failure, Reason};

use crate::args::DrillArgs;
use crate::artefact;
use crate::clock;
use crate::database::Login;
use crate::programs::Programs;
use crate::restore::{Source, restore_into};
use crate::seal::Identity;
use crate::storage;
use server::Server;

/// Restores the backup, compares every row, and removes the server again, whatever happens.
pub async fn run(args: &DrillArgs, programs: &Programs) -> Result<DrillReport, Failure> {
    let limit = Duration::from_secs(args.max_seconds);
    match tokio::time::timeout(limit, drill(args, programs)).await {
        Ok(result) => result,
        Err(_) => Err(Failure::new(
            Reason::TimedOut,
            format!("the drill was not done after {} s: allow it more time", args.max_seconds),
        )),
    }
}

async fn drill(args: &DrillArgs, programs: &Programs) -> Result<DrillReport, Failure> {
    let began = Instant::now();
    let (id, storage) = storage::open(&args.storage)?;
    let identity = args.identity_file.as_deref().map(Identity::read).transpose()?;
    let manifest = artefact::observe_manifest(&storage, &id).await?;
    artefact::check_identity(&manifest, identity.as_ref())?;
    let server = Server::start(programs).await?;
    let login = Login::local(server.socket_folder(), server::USER, server::DATABASE);
    let source = Source { storage: &storage, manifest: &manifest, identity: identity.as_ref() };
    let report = restore_into(&login, &source, "drill", programs).await?;
    Ok(DrillReport {
        backup_id: id,
        drilled_at: clock::now(),
        seconds: began.elapsed().as_secs(),
        digest: manifest.digest,
        totals: report.totals,
    })
}
