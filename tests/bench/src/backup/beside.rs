//! Jobs at a constant rate: without a backup, while `pg_dump` runs again and again, and while backups do.

use std::time::{Duration, Instant};

use super::Options;
use super::load::{self, Seen, WARM_UP, troubles};
use super::tools::{Program, Tools};
use crate::figures::Spread;
use crate::local::machine_cpu;
use crate::print::{head, row, say};

/// In the order of a round; the first is what the others are compared with.
const SIDES: [(&str, Option<Program>); 3] = [
    ("no backup", None),
    ("pg_dump in a loop", Some(Program::PgDump)),
    ("backup-agent in a loop", Some(Program::Agent)),
];

struct Round {
    seen: Seen,
    busy: f64,
    /// Seconds of each dump.
    dumps: Vec<f64>,
}

pub(super) async fn measure(tools: &Tools<'_>, options: &Options) -> anyhow::Result<()> {
    let mut sides: [Vec<Round>; 3] = [const { Vec::new() }; 3];
    let mut trouble = Vec::new();
    for number in 0..options.rounds {
        for (rounds, (name, program)) in sides.iter_mut().zip(SIDES) {
            let (round, line) = observe(tools, options, program, format!("{number} {name}")).await?;
            rounds.push(round);
            trouble.push(format!("round {}, {name}: {line}", number + 1));
        }
    }
    say("");
    say(&format!("{} starts/s, {} s per round, {} rounds", options.rate, options.seconds, options.rounds));
    head(&["", "completed /s", "P50 ms", "P99 ms", "P99, to no backup", "processors busy", "dumps, s each"]);
    let [bare, ..] = &sides;
    for (rounds, (name, _)) in sides.iter().zip(SIDES) {
        let of = |figure: fn(&Round) -> f64| Spread::of(rounds.iter().map(figure));
        let ratios = rounds.iter().zip(bare).map(|(round, bare)| round.seen.p99 / bare.seen.p99);
        let dumps: Vec<f64> = rounds.iter().flat_map(|round| round.dumps.iter().copied()).collect();
        row(&[
            name,
            &format!("{:.1}", of(|round| round.seen.rate)),
            &format!("{:.1}", of(|round| round.seen.median)),
            &format!("{:.1}", of(|round| round.seen.p99)),
            &format!("{:.2}", Spread::of(ratios)),
            &format!("{:.2}", of(|round| round.busy)),
            &if dumps.is_empty() {
                "none".to_owned()
            } else {
                format!("{}, {:.1}", dumps.len(), Spread::of(dumps))
            },
        ]);
    }
    say("");
    for line in &trouble {
        say(line);
    }
    Ok(())
}

async fn observe(
    tools: &Tools<'_>,
    options: &Options,
    program: Option<Program>,
    run: String,
) -> anyhow::Result<(Round, String)> {
    tools.world.checkpoint().await?;
    let traffic = load::begin(tools.world, options.rate, run)?;
    tokio::time::sleep(WARM_UP).await;
    let length = Duration::from_secs(options.seconds.into());
    let (began, from, before) = (Instant::now(), traffic.record().elapsed(), machine_cpu());
    let dumping = async {
        match program {
            Some(program) => tools.repeat(program, began + length).await,
            None => Ok(Vec::new()),
        }
    };
    let watching = async {
        tokio::time::sleep(length).await;
        machine_cpu().saturating_sub(before).as_secs_f64() / began.elapsed().as_secs_f64()
    };
    let (dumps, busy) = tokio::join!(dumping, watching);
    let ledger = traffic.finish().await?;
    let seen = Seen::of(&ledger, &(from..from + length));
    Ok((Round { seen, busy, dumps: dumps? }, troubles(&ledger)))
}
