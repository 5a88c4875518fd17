use rstest::rstest;

use super::*;
use crate::observe::postgres::{PostgresProblem, PostgresView};
use crate::testing::{
    ended, minimal, nothing, pod, reachable, rolling_set, serving, settled_pods, settled_set, today,
    with_input, with_set,
};
use crate::upgrade::plan_upgrade;

/// The stage of a cluster whose spec asks for 1.3.0, with this marker, and a StatefulSet of this version.
fn stage(
    marker: Option<&str>,
    runs: Option<&str>,
    change: impl FnOnce(&mut Observed),
) -> Option<UpgradeStage> {
    let cluster = minimal(|cluster| "1.3.0".clone_into(&mut cluster.spec.version));
    let mut observed = nothing();
    (observed.postgres, observed.engine) = (reachable(marker), serving());
    if let Some(runs) = runs {
        (observed.children, observed.pods) = (with_set(settled_set(&cluster, runs)), settled_pods(1));
    }
    change(&mut observed);
    with_input(&cluster, |input| plan_upgrade(input, &observed, today()).stage)
}

fn away(observed: &mut Observed) {
    let reason = api_types::cluster::ClusterReason::PostgresUnreachable;
    observed.postgres = PostgresView::Unusable(PostgresProblem { reason, cause: String::new() });
}

fn with_expanded_schema(observed: &mut Observed) {
    let cluster = minimal(|cluster| "1.3.0".clone_into(&mut cluster.spec.version));
    let job =
        with_input(&cluster, |input| crate::children::migration_job::build_job(input, UpTo::Expand, false));
    observed.children.jobs = vec![std::sync::Arc::new(ended(job, "Complete", today()))];
}

fn with_former_pods(observed: &mut Observed) {
    let cluster = minimal(|cluster| "1.3.0".clone_into(&mut cluster.spec.version));
    observed.children = with_set(rolling_set(&cluster, "1.3.0", 1));
    observed.pods = vec![pod(0, "old", true)];
}

#[rstest]
#[case::install(None, None, |_: &mut Observed| (), None)]
#[case::a_step_that_is_refused(Some("1.1.0"), Some("1.1.0"), |_: &mut Observed| (), Some(UpgradeStage::Preflight))]
#[case::nobody_to_ask(Some("1.2.3"), Some("1.2.3"), away, Some(UpgradeStage::Preflight))]
#[case::the_schema_first(Some("1.2.3"), Some("1.2.3"), |_: &mut Observed| (), Some(UpgradeStage::Expanding))]
#[case::then_the_template(Some("1.2.3"), Some("1.2.3"), with_expanded_schema, Some(UpgradeStage::Rolling))]
#[case::then_the_pods(Some("1.2.3"), Some("1.3.0"), with_former_pods, Some(UpgradeStage::Rolling))]
#[case::then_the_schema_again(Some("1.2.3"), Some("1.3.0"), |_: &mut Observed| (), Some(UpgradeStage::Contracting))]
#[case::settled(Some("1.3.0"), Some("1.3.0"), |_: &mut Observed| (), Some(UpgradeStage::Done))]
#[case::settled_and_nobody_to_ask(Some("1.3.0"), Some("1.3.0"), away, Some(UpgradeStage::Done))]
#[case::another_template_of_the_version(
    Some("1.3.0"),
    Some("1.3.0"),
    with_former_pods,
    Some(UpgradeStage::Rolling)
)]
fn the_stage_is_read_off_the_facts(
    #[case] marker: Option<&str>,
    #[case] runs: Option<&str>,
    #[case] change: fn(&mut Observed),
    #[case] expected: Option<UpgradeStage>,
) {
    assert_eq!(stage(marker, runs, change), expected);
}

#[rstest]
#[case(UpgradeStage::Preflight)]
#[case(UpgradeStage::Expanding)]
#[case(UpgradeStage::Rolling)]
#[case(UpgradeStage::Contracting)]
#[case(UpgradeStage::Done)]
fn a_status_carries_the_word(#[case] stage: UpgradeStage) {
    assert_eq!(serde_json::to_value(stage).unwrap(), stage.as_str());
}
