//! Runs one command to its outcome.

use std::time::Duration;

use backup_format::{Failure, Outcome, Reason};
use tokio_util::sync::CancellationToken;

use crate::args::Command;
use crate::programs::Programs;
use crate::{adopt, backup, delete, drill, inspect, restore, verify};

/// Time to clean up after a signal, well within the grace period of a pod.
const GRACE: Duration = Duration::from_secs(15);

/// The outcome of a command, also when `stop` ends it early.
pub async fn run(command: &Command, programs: &Programs, stop: &CancellationToken) -> Outcome {
    let ended_early = async {
        stop.cancelled().await;
        // A backup gives up its upload by itself. The others leave nothing that dropping does not end.
        if matches!(command, Command::Backup(_)) {
            tokio::time::sleep(GRACE).await;
        }
        Outcome::Failure(Failure::new(
            Reason::TimedOut,
            "asked to end before it was done: it can be tried again",
        ))
    };
    let outcome = tokio::select! {
        outcome = dispatch(command, programs, stop) => outcome,
        outcome = ended_early => outcome,
    };
    if let Outcome::Failure(failure) = &outcome {
        tracing::error!(reason = ?failure.reason, "{}", failure.message);
    } else {
        tracing::info!("done");
    }
    outcome
}

async fn dispatch(command: &Command, programs: &Programs, stop: &CancellationToken) -> Outcome {
    let result = match command {
        Command::Backup(args) => backup::run(args, programs, stop).await.map(Outcome::Backup),
        Command::Verify(args) => verify::run(args, programs).await.map(Outcome::Verify),
        Command::Restore(args) => restore::run(args, programs).await.map(Outcome::Restore),
        Command::Adopt(args) => adopt::run(args).await.map(Outcome::Restore),
        Command::Inspect(args) => inspect::run(args).await.map(Outcome::Base),
        Command::Delete(args) => delete::run(args).await.map(Outcome::Delete),
        Command::Drill(args) => drill::run(args, programs).await.map(Outcome::Drill),
    };
    result.unwrap_or_else(Outcome::Failure)
}
