//! What PostgreSQL says of the tables that every job changes.

use std::time::{Duration, Instant};

use sqlx::{Executor as _, PgConnection};
use test_support::builders::JOB_TYPE;

use crate::figures::{millis, quantile};
use crate::local::machine_cpu;
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// One table. Sizes in MB.
#[derive(Clone, Copy, Debug, Default, PartialEq, sqlx::FromRow)]
pub(super) struct Table {
    pub(super) dead: i64,
    pub(super) rows: f64,
    pub(super) indexes: f64,
}

pub(super) struct Sample {
    /// `job`, `instance` and `tenant_counter` at the end of the interval.
    pub(super) tables: [Table; 3],
    /// Median time to find the oldest waiting job, ms; one search each second.
    pub(super) search: f64,
    /// Processors of this machine that were busy.
    pub(super) busy: f64,
}

pub(super) struct Sampler {
    session: PgConnection,
}

impl Sampler {
    pub(super) async fn open(world: &World) -> anyhow::Result<Self> {
        let mut session = world.session().await?;
        // As the engine's own sessions search.
        session
            .execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET statement_timeout = '30s'")
            .await?;
        Ok(Self { session })
    }

    /// Takes as long as the interval.
    pub(super) async fn observe(&mut self, length: Duration) -> anyhow::Result<Sample> {
        let (began, before) = (Instant::now(), machine_cpu());
        let mut searches = Vec::new();
        loop {
            let left = length.saturating_sub(began.elapsed());
            if left < SECOND {
                tokio::time::sleep(left).await;
                break;
            }
            tokio::time::sleep(SECOND).await;
            searches.push(self.search().await?);
        }
        searches.sort_unstable();
        let busy = machine_cpu().saturating_sub(before).as_secs_f64() / began.elapsed().as_secs_f64();
        let mut tables = [Table::default(); 3];
        for (table, name) in tables.iter_mut().zip(["job", "instance", "tenant_counter"]) {
            *table = self.observe_table(name).await?;
        }
        Ok(Sample { tables, search: millis(quantile(&searches, 500)), busy })
    }

    /// The engine's search for jobs of one type, without its locks.
    async fn search(&mut self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let _: Option<i64> = sqlx::query_scalar(
            "SELECT j.key FROM workflow.job j
             WHERE j.tenant_id = '_default' AND j.type = $1 AND NOT j.parked AND j.run_at <= now()
             ORDER BY j.run_at LIMIT 1",
        )
        .bind(JOB_TYPE)
        .fetch_optional(&mut self.session)
        .await?;
        Ok(began.elapsed())
    }

    async fn observe_table(&mut self, name: &str) -> anyhow::Result<Table> {
        Ok(sqlx::query_as(
            "SELECT n_dead_tup AS dead, pg_table_size(relid) / 1e6::float8 AS rows,
                    pg_indexes_size(relid) / 1e6::float8 AS indexes
             FROM pg_stat_user_tables WHERE schemaname = 'workflow' AND relname = $1",
        )
        .bind(name)
        .fetch_one(&mut self.session)
        .await?)
    }
}
