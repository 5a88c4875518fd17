//! Backups and restores beside PostgreSQL's own programs on the same database; the engine is idle meanwhile.

use std::time::Instant;

use super::Options;
use super::tools::{Seal, Tools};
use crate::figures::Spread;
use crate::local::machine_cpu;
use crate::print::{head, row};

const MEGABYTE: f64 = 1e6;

/// Of the engine's database, in MB.
pub(super) struct Size {
    /// The rows as text. Megabytes per second count these for every program: a dump is compressed, and tables have free space.
    pub(super) text: f64,
    pub(super) disk: f64,
    pub(super) dump: f64,
}

impl Size {
    pub(super) async fn observe(tools: &Tools<'_>) -> anyhow::Result<Self> {
        let disk: i64 = sqlx::query_scalar("SELECT pg_database_size(current_database())")
            .fetch_one(&mut tools.world.session().await?)
            .await?;
        tools.pg_dump().await?;
        let megabytes = |bytes: u64| anyhow::Ok(f64::from(u32::try_from(bytes / 1000)?) * 1000.0 / MEGABYTE);
        Ok(Self {
            text: megabytes(tools.count_text().await?)?,
            disk: megabytes(u64::try_from(disk)?)?,
            dump: megabytes(std::fs::metadata(tools.dump_file())?.len())?,
        })
    }
}

/// In the order of a round. A name, and the place of the bare limit.
const CONTENDERS: [(&str, usize); 7] = [
    ("pg_dump -Fc to a file", 0),
    ("backup-agent backup", 0),
    ("backup-agent backup, age", 0),
    ("pg_restore of that file", 3),
    ("backup-agent restore", 3),
    ("backup-agent restore, age", 3),
    ("pg_dump -Fc \\| pg_restore", 3),
];

#[derive(Clone, Copy, Debug)]
struct Timed {
    seconds: f64,
    /// Processors of this machine that were busy.
    busy: f64,
}

pub(super) async fn measure(tools: &Tools<'_>, options: &Options, size: &Size) -> anyhow::Result<()> {
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        rounds.push(Box::pin(play_round(tools)).await?);
    }
    head(&["", "s", "MB/s", "time, to the bare limit", "processors busy on the whole machine"]);
    for (place, (name, limit)) in CONTENDERS.iter().enumerate() {
        let of = |figure: &dyn Fn(&[Timed; 7]) -> f64| Spread::of(rounds.iter().map(figure));
        row(&[
            name,
            &format!("{:.1}", of(&|round| round[place].seconds)),
            &format!("{:.0}", of(&|round| size.text / round[place].seconds)),
            &if place == *limit {
                "1".to_owned()
            } else {
                format!("{:.2}", of(&|round| round[place].seconds / round[*limit].seconds))
            },
            &format!("{:.2}", of(&|round| round[place].busy)),
        ]);
    }
    Ok(())
}

async fn play_round(tools: &Tools<'_>) -> anyhow::Result<[Timed; 7]> {
    let targets = [(); 4].map(|()| tools.world.postgres.fresh_database());
    let [file, plain, sealed, piped] = targets;
    let (file, plain, sealed, piped) = (file.await, plain.await, sealed.await, piped.await);
    let timed = [
        time(tools, tools.pg_dump()).await?,
        time(tools, tools.back_up("plain", Seal::Open)).await?,
        time(tools, tools.back_up("sealed", Seal::Age)).await?,
        time(tools, tools.pg_restore(&file)).await?,
        time(tools, tools.restore("plain", Seal::Open, &plain)).await?,
        time(tools, tools.restore("sealed", Seal::Age, &sealed)).await?,
        time(tools, tools.pipe(&piped)).await?,
    ];
    for database in [file, plain, sealed, piped] {
        tools.check_and_drop(database).await?;
    }
    tools.remove_backup("plain")?;
    tools.remove_backup("sealed")?;
    Ok(timed)
}

async fn time(tools: &Tools<'_>, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<Timed> {
    tools.world.checkpoint().await?;
    let (began, before) = (Instant::now(), machine_cpu());
    work.await?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Timed { seconds, busy: machine_cpu().saturating_sub(before).as_secs_f64() / seconds })
}
