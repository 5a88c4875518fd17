//! What a backup costs: how fast the agent is beside `pg_dump` and `pg_restore` of the same database, what jobs notice of a
//! backup, and what a snapshot that is held for minutes does to the queue of jobs.

mod beside;
mod fill;
mod held;
mod load;
mod speed;
mod tools;

use std::path::PathBuf;

use crate::print::say;
use crate::world::World;
use tools::Tools;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The engine's program, built with the profile release-engine
    #[arg(long, env = "WORKFLOW_ENGINE_BINARY")]
    binary: PathBuf,
    /// The backup agent's program, built for release
    #[arg(long, env = "WORKFLOW_BACKUP_AGENT_BINARY")]
    agent: PathBuf,
    /// Instances in the database; every second one waits with a job, the others are completed
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=2_000_000))]
    instances: u32,
    /// Rounds of each side, in turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Starts per second, by a clock that does not wait for the engine
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    rate: u32,
    /// Length of a round of load, with a backup or without
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(5..=300))]
    seconds: u32,
    /// How long a snapshot is held; as long before it nobody holds one, at most two minutes
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(10..=3_600))]
    hold_seconds: u32,
    /// How long the load goes on after the snapshot; longer than the minute between two visits of autovacuum
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(10..=3_600))]
    recover_seconds: u32,
    /// Length of one line in the table of the held snapshot
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(5..=300))]
    interval: u32,
    /// Only this part
    #[arg(long, value_enum)]
    only: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Backups and restores beside PostgreSQL's own programs
    Speed,
    /// Jobs beside a backup
    Beside,
    /// Jobs beside a held snapshot
    Held,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

pub(crate) async fn measure(options: &Options) -> anyhow::Result<()> {
    let world = World::start(&options.binary).await?;
    fill::fill(&world, options.instances).await?;
    let tools = Tools::prepare(&world, &options.agent).await?;
    let size = speed::Size::observe(&tools).await?;
    say(&format!(
        "{} instances of 1 KiB, every second with a job: {:.0} MB as text, {:.0} MB on disk, {:.0} MB dumped by pg_dump -Fc",
        options.instances, size.text, size.disk, size.dump
    ));
    if options.wants(Part::Speed) {
        speed::measure(&tools, options, &size).await?;
    }
    if options.wants(Part::Beside) {
        beside::measure(&tools, options).await?;
    }
    if options.wants(Part::Held) {
        held::measure(&world, options).await?;
    }
    Ok(())
}
