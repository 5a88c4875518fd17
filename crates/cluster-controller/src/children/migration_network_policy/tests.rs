use std::collections::BTreeMap;

use super::*;
use crate::children::migration_job::{UpTo, build_job};
use crate::observe::Observed;
use crate::plan::{Step, plan};
use crate::testing::{minimal, nothing, settings, target, today, with_input};

fn planned(observed: &Observed) -> Option<NetworkPolicy> {
    let cluster = minimal(|_| ());
    let plan = plan(&cluster, &target(&cluster), &settings(), observed, today());
    plan.steps.into_iter().find_map(|step| match step {
        Step::Apply(desired) if desired.name == "dev-migration" => serde_json::from_value(desired.body).ok(),
        _ => None,
    })
}

#[test]
fn it_selects_the_pods_of_migrations_and_those_only() {
    let selected = planned(&nothing()).unwrap().spec.unwrap().pod_selector.unwrap().match_labels.unwrap();
    let labels_of = |pod: Option<kube::api::ObjectMeta>| pod.and_then(|pod| pod.labels).unwrap_or_default();
    let is_selected = |labels: &BTreeMap<String, String>| {
        selected.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    let job = with_input(&minimal(|_| ()), |input| build_job(input, UpTo::All, false));
    assert!(is_selected(&labels_of(job.spec.unwrap().template.metadata)));
    let engine = crate::testing::settled_set(&minimal(|_| ()), "1.2.3");
    assert!(!is_selected(&labels_of(engine.spec.unwrap().template.metadata)));
}

#[test]
fn it_is_made_once() {
    let mut observed = nothing();
    let made = planned(&observed);
    assert!(made.is_some());
    observed.children.live.set(&MigrationNetworkPolicy, made);
    assert_eq!(planned(&observed), None);
}
