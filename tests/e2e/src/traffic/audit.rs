//! The ledger of those who made the traffic, held against the engine's own rows in Postgres.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;

use super::Ledger;
use crate::cluster::Cluster;
use crate::postgres::Place;

/// `workflow.instance.state` of an instance that reached its end.
const COMPLETED: &str = "2";

/// What the two say together.
///
/// The engine keeps an instance's row for a day after its end, and deletes a job's row with its completion. So what was lost is
/// counted from the rows. That a job was completed twice would leave no row; it is counted from the engine's answers to
/// CompleteJob. A start that was done twice left a second row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Starts that the engine confirmed.
    pub started: usize,
    /// Instances in Postgres that ended.
    pub ended: usize,
    /// Starts that were confirmed and whose instance did not end, or is not there.
    pub lost: usize,
    /// Jobs that were completed more than once, and starts that made more than one instance.
    pub doubled: usize,
    /// Starts that failed for those who made them, although the engine did them.
    pub unheard: usize,
}

impl Audit {
    /// Reads the rows of `run` of this tenant, and compares.
    pub async fn of(
        cluster: &Cluster,
        place: Place<'_>,
        tenant: &str,
        run: &str,
        ledger: &Ledger,
    ) -> anyhow::Result<Self> {
        // Row-level security holds the tables' owner, too.
        let as_tenant = format!("set workflow.tenant_id = '{tenant}'");
        let instances = format!(
            "select variables->>'order', key, state from workflow.instance \
             where tenant_id = '{tenant}' and variables->>'run' = '{run}'"
        );
        let rows = place.run(cluster, &[&as_tenant, &instances]).await?;
        let rows = rows.lines().map(|line| Row::parse(line).with_context(|| format!("psql said {line:?}")));
        Ok(Self::compare(&rows.collect::<anyhow::Result<Vec<_>>>()?, ledger))
    }

    fn compare(rows: &[Row], ledger: &Ledger) -> Self {
        let ended: BTreeSet<i64> = rows.iter().filter(|row| row.ended).map(|row| row.key).collect();
        let mut instances_of = BTreeMap::<usize, usize>::new();
        for row in rows {
            *instances_of.entry(row.order).or_default() += 1;
        }
        let started: Vec<i64> = ledger.orders.iter().filter_map(|order| order.instance).collect();
        let failed = ledger.orders.iter().enumerate().filter(|(_, order)| order.instance.is_none());
        Self {
            started: started.len(),
            ended: ended.len(),
            lost: started.iter().filter(|key| !ended.contains(key)).count(),
            doubled: ledger.count_doubled_jobs() + instances_of.values().filter(|count| **count > 1).count(),
            unheard: failed.filter(|(number, _)| instances_of.contains_key(number)).count(),
        }
    }
}

struct Row {
    order: usize,
    key: i64,
    ended: bool,
}

impl Row {
    fn parse(line: &str) -> Option<Self> {
        let mut columns = line.split('|');
        let (order, key) = (columns.next()?.parse().ok()?, columns.next()?.parse().ok()?);
        Some(Self { order, key, ended: columns.next()? == COMPLETED })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Order;

    #[test]
    fn what_is_lost_doubled_or_unheard_is_told_from_the_rows() {
        let started = |instance| Order { instance, ..Order::default() };
        // The first ended; the second did not; the third is not there; the fourth failed for its client and was done; the fifth
        // was done twice.
        let orders = [Some(10), Some(11), Some(12), None, Some(14)].map(started);
        let ledger = Ledger { orders: orders.to_vec(), ..Ledger::default() };
        let rows = ["0|10|2", "1|11|1", "3|13|2", "4|14|2", "4|15|2"].map(|line| Row::parse(line).unwrap());
        let expected = Audit { started: 4, ended: 4, lost: 2, doubled: 1, unheard: 1 };
        assert_eq!(Audit::compare(&rows, &ledger), expected);
    }
}
