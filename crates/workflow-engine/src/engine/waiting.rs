//! Counting running instances by the elements that they wait at.

use std::collections::{BTreeMap, BTreeSet};

use bpmn::limits::MAX_IDENTIFIER_CHARS;
use bpmn::{ElementKind, Process};
use engine_api::model::{WaitingCount, WaitingInstances};

use super::instances::MAX_AT_ONCE;
use super::{Engine, require_text};
use crate::database::TenantTx;
use crate::error::Error;
use crate::storage::waiting::{self, Joining, Place};
use crate::tenant_scope::TenantScope;

/// Most pairs of an instance and an element that are counted.
const MAX_COUNTED: usize = 10_000;
/// Most versions with running instances whose joins are known: each may have to be compiled first.
const MAX_COMPILED: usize = 50;

impl Engine {
    pub async fn count_waiting_instances(
        &self,
        tenant: &TenantScope,
        process_id: &str,
        element_ids: Vec<String>,
    ) -> Result<WaitingInstances, Error> {
        require_text("process_id", process_id, MAX_IDENTIFIER_CHARS)?;
        let asked = require_element_ids(element_ids)?;
        // One more than are counted shows that there are more.
        let limit = i64::try_from(MAX_COUNTED + 1).unwrap_or(i64::MAX);
        let mut tx = self.database.tenant(tenant).await?;
        let scope = waiting::find_scope(&mut tx, process_id).await?;
        let found = waiting::find_places(&mut tx, &scope, &asked, limit).await?;
        let (mut places, mut is_at_least) = (found.places, found.is_cut);
        let mut running = found.running;
        running.sort_unstable_by(|a, b| b.cmp(a));
        is_at_least |= running.len() > MAX_COMPILED;
        running.truncate(MAX_COMPILED);
        let joins = self.find_joins(&mut tx, &running, &asked).await?;
        if !joins.is_empty() {
            let scope = scope.narrowed(joins.keys().copied().collect());
            let joining = waiting::find_joining(&mut tx, &scope, &flows_of(&joins), limit).await?;
            is_at_least |= joining.len() > MAX_COUNTED;
            places.extend(joining.iter().flat_map(|joining| places_of(joining, &joins)));
        }
        is_at_least |= places.len() > MAX_COUNTED;
        Ok(build_counts(places.into_iter().take(MAX_COUNTED), is_at_least))
    }

    /// The joins among these elements.
    async fn find_joins(
        &self,
        tx: &mut TenantTx,
        versions: &[i64],
        element_ids: &[String],
    ) -> Result<Joins, Error> {
        let mut joins = Joins::default();
        for key in versions {
            let definition = self.definitions.find(tx, *key).await?;
            let incoming = incoming_of_joins(&definition.process, element_ids);
            if !incoming.is_empty() {
                joins.insert(*key, incoming);
            }
        }
        Ok(joins)
    }
}

/// Joins by version and by the id of a flow that leads to one.
type Joins = BTreeMap<i64, BTreeMap<String, String>>;

fn incoming_of_joins(process: &Process, element_ids: &[String]) -> BTreeMap<String, String> {
    let asked: BTreeSet<&str> = element_ids.iter().map(String::as_str).collect();
    let joins = process.elements.iter().filter(|element| {
        matches!(element.kind, ElementKind::ParallelGateway)
            && element.incoming.len() > 1
            && asked.contains(element.id.as_str())
    });
    joins
        .flat_map(|join| join.incoming.iter().map(|flow| (process.flow(*flow).id.clone(), join.id.clone())))
        .collect()
}

fn flows_of(joins: &Joins) -> Vec<String> {
    let flows: BTreeSet<&String> = joins.values().flat_map(BTreeMap::keys).collect();
    flows.into_iter().cloned().collect()
}

fn places_of(joining: &Joining, joins: &Joins) -> impl Iterator<Item = Place> {
    let of_version = joins.get(&joining.definition_key);
    let at = joining.arrived.keys().filter_map(move |flow| of_version?.get(flow));
    at.map(|element_id| (joining.instance_key, element_id.clone()))
}

fn require_element_ids(element_ids: Vec<String>) -> Result<Vec<String>, Error> {
    let distinct: BTreeSet<&str> = element_ids.iter().map(String::as_str).collect();
    if distinct.is_empty() || element_ids.len() > MAX_AT_ONCE || distinct.len() < element_ids.len() {
        return Err(Error::Invalid(format!("element_ids must have 1 to {MAX_AT_ONCE} entries, each once")));
    }
    for id in distinct {
        require_text("an entry of element_ids", id, MAX_IDENTIFIER_CHARS)?;
    }
    Ok(element_ids)
}

fn build_counts(places: impl Iterator<Item = Place>, is_at_least: bool) -> WaitingInstances {
    let (mut instances, mut counts) = (BTreeSet::new(), BTreeMap::<String, u64>::new());
    for (instance_key, element_id) in places {
        instances.insert(instance_key);
        *counts.entry(element_id).or_default() += 1;
    }
    let counts = counts.into_iter().map(|(element_id, instances)| WaitingCount { element_id, instances });
    WaitingInstances {
        counts: counts.collect(),
        instances: u64::try_from(instances.len()).unwrap_or(u64::MAX),
        is_at_least,
    }
}
