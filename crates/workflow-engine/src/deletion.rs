//! Deletions that are too big for one transaction. A short transaction marks what is to be deleted; from then on
//! nothing new is added to it. The rest is deleted in slices, one transaction each: first by the call itself, as long
//! as its caller can wait, then by the upkeep. Both may work on the same tenant at once. An interrupted deletion
//! continues where it stopped.

use std::time::Duration;

use tokio::time::Instant;

use crate::database::{Database, in_time};
use crate::error::Error;
use crate::storage::{purge, retired, tenants};
use crate::tenant_scope::TenantScope;

/// Time for slices within a call. Clients wait 10 s for an answer, and part of that is waiting for the tenant's lock.
pub const CALL_BUDGET: Duration = Duration::from_secs(4);
/// Rows in one transaction: the maximum, and the number in the first slice.
const MAX_ROWS: i64 = 5_000;
/// How long a slice should hold its locks. The statement timeout is 5 s.
const TARGET: Duration = Duration::from_millis(250);
const SLICE_TIMEOUT: Duration = Duration::from_secs(10);

/// Adapts the number of rows per transaction: fewer when rows are big or the server is slow.
#[derive(Debug)]
struct Slices {
    rows: i64,
    until: Instant,
}

impl Slices {
    fn until(until: Instant) -> Self {
        Self { rows: MAX_ROWS, until }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Runs one slice. `None` = it was too slow, and the next one is smaller.
    async fn run<T>(&mut self, slice: impl Future<Output = Result<T, Error>>) -> Result<Option<T>, Error> {
        let began = Instant::now();
        let done = in_time(SLICE_TIMEOUT, slice).await;
        let rows = self.rows;
        self.rows = if done.is_err() { rows / 8 } else { next_rows(rows, began.elapsed()) }.max(1);
        match done {
            Ok(done) => Ok(Some(done)),
            Err(error) if rows > 1 && error.is_too_slow() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn next_rows(rows: i64, took: Duration) -> i64 {
    if took > TARGET * 2 {
        rows / 2
    } else if took < TARGET / 2 {
        (rows * 2).min(MAX_ROWS)
    } else {
        rows
    }
}

/// Deletes rows of a tenant that is being deleted. True when only the tenant's own row is left.
pub async fn purge(database: &Database, tenant: &TenantScope, until: Instant) -> Result<bool, Error> {
    let mut slices = Slices::until(until);
    while !slices.is_over() {
        let rows = slices.rows;
        let slice = async {
            let mut tx = database.tenant(tenant).await?;
            let found = purge::delete_slice(&mut tx, rows).await?;
            tx.commit().await?;
            Ok(found)
        };
        if slices.run(slice).await? == Some(false) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The upkeep's part of a tenant's deletion. True when the tenant does not exist any more.
pub async fn purge_and_delete(
    database: &Database,
    tenant: &TenantScope,
    until: Instant,
) -> Result<bool, Error> {
    if !purge(database, tenant, until).await? {
        return Ok(false);
    }
    let mut tx = database.tenant_exclusive(tenant).await?;
    // Another process may have deleted it meanwhile, and a new tenant with the same id may exist.
    let still = tenants::find_tenant(&mut tx).await?.is_some_and(|found| found.being_deleted);
    let gone = !still || purge::delete_emptied(&mut tx).await?;
    tx.commit().await?;
    Ok(gone)
}

/// Cancels the running instances of versions that were deleted with `Cancel`. True when none is left. An interrupted
/// cancellation continues where it stopped.
pub async fn cancel_retired(
    database: &Database,
    tenant: &TenantScope,
    until: Instant,
) -> Result<bool, Error> {
    let mut slices = Slices::until(until);
    let canceling = slices.run(async {
        let mut tx = database.tenant(tenant).await?;
        let canceling = retired::find_canceling(&mut tx).await?;
        tx.commit().await?;
        Ok(canceling)
    });
    let Some(canceling) = canceling.await?.flatten() else { return Ok(true) };
    // Twice: a completion that runs concurrently adds jobs until its instance is canceled.
    let done = delete_jobs(database, tenant, &canceling, &mut slices).await?
        && cancel_instances(database, tenant, &canceling, &mut slices).await?
        && delete_jobs(database, tenant, &canceling, &mut slices).await?;
    if done {
        let mut tx = database.tenant_exclusive(tenant).await?;
        retired::mark_canceled(&mut tx, &canceling).await?;
        tx.commit().await?;
    }
    Ok(done)
}

async fn delete_jobs(
    database: &Database,
    tenant: &TenantScope,
    canceling: &retired::Canceling,
    slices: &mut Slices,
) -> Result<bool, Error> {
    while !slices.is_over() {
        let rows = slices.rows;
        let slice = async {
            let mut tx = database.tenant(tenant).await?;
            let found = retired::delete_jobs(&mut tx, canceling, rows).await?;
            tx.commit().await?;
            Ok(found)
        };
        if slices.run(slice).await? == Some(false) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn cancel_instances(
    database: &Database,
    tenant: &TenantScope,
    canceling: &retired::Canceling,
    slices: &mut Slices,
) -> Result<bool, Error> {
    let mut after = canceling.after;
    while !slices.is_over() {
        let rows = slices.rows;
        let slice = async {
            let mut tx = database.tenant(tenant).await?;
            let next = retired::cancel_slice(&mut tx, canceling, after, rows).await?;
            tx.commit().await?;
            Ok(next)
        };
        match slices.run(slice).await? {
            Some(Some(next)) => after = next,
            Some(None) => return Ok(true),
            None => {}
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::slow(4_000, 600, 2_000)]
    #[case::on_target(4_000, 250, 4_000)]
    #[case::fast(1_000, 20, 2_000)]
    #[case::fast_and_full(MAX_ROWS, 20, MAX_ROWS)]
    fn the_size_of_slices_aims_at_a_quarter_of_a_second(
        #[case] rows: i64,
        #[case] millis: u64,
        #[case] next: i64,
    ) {
        assert_eq!(next_rows(rows, Duration::from_millis(millis)), next);
    }

    #[tokio::test]
    async fn a_slice_that_is_too_slow_is_an_error_only_with_one_row() {
        let mut slices = Slices::until(Instant::now());
        let mut rows = Vec::new();
        let failed = loop {
            rows.push(slices.rows);
            match slices.run(async { Err::<(), _>(Error::unanswered()) }).await {
                Ok(None) => {}
                ended => break ended,
            }
        };
        assert!(matches!(failed, Err(Error::Database(sqlx::Error::PoolTimedOut))), "{failed:?}");
        assert_eq!(rows, [5_000, 625, 78, 9, 1]);
    }
}
