mod table;

use api_types::cluster::UpgradeGateName;
use rstest::rstest;

use super::*;
use crate::testing::today;

const OLD: &str = "digest-of-the-former-template";
const NEW: &str = "digest-of-the-new-template";

fn stable(version: &str, digest: &str) -> StableTemplate {
    StableTemplate {
        version: version.to_owned(),
        template_digest: digest.to_owned(),
        revision: "revision-of-live".to_owned(),
    }
}

fn later(seconds: i64) -> Timestamp {
    today().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

/// 1.2.3 runs, settled, and 1.3.0 is wanted.
fn facts(stable: &StableTemplate) -> Facts<'_> {
    Facts {
        to: "1.3.0",
        wanted: NEW,
        live: Some(OLD),
        stable: Some(stable),
        schema: Schema::Former,
        gate: None,
        pods: Pods {
            exist: true,
            spread: Spread::Settled,
            of_live: 3,
            canary: Some("prod-engine-2"),
            revision: Some("revision-of-live"),
            health: Health::Healthy,
        },
        policy: Policy {
            canary: true,
            health: SignedDuration::from_secs(60),
            soak: SignedDuration::from_secs(120),
            rolls_back: true,
            backs_up: false,
        },
    }
}

/// The status of the plan of these facts, in this stage since `today`.
fn in_stage(facts: &Facts<'_>, stage: Stage) -> UpgradeStatus {
    UpgradeStatus { stage, ..begin(facts, facts.plan_hash(), today()) }
}

fn stage_after(former: Option<&UpgradeStatus>, facts: &Facts<'_>, now: Timestamp) -> Option<Stage> {
    advance(former, facts, now).upgrade.map(|upgrade| upgrade.stage)
}

type Change = fn(&mut Facts<'_>);

fn nothing(_: &mut Facts<'_>) {}

fn closed(facts: &mut Facts<'_>) {
    facts.schema = Schema::Closed;
}

static GATE: UpgradeGate = UpgradeGate { name: UpgradeGateName::EnginePods, opens_when: String::new() };

fn held(facts: &mut Facts<'_>) {
    facts.gate = Some(&GATE);
}

fn backed_up_first(facts: &mut Facts<'_>) {
    facts.policy.backs_up = true;
}

fn held_for_a_backup(facts: &mut Facts<'_>) {
    backed_up_first(facts);
    held(facts);
}

fn template_only_and_backup(facts: &mut Facts<'_>) {
    template_only(facts);
    backed_up_first(facts);
}

fn template_only(facts: &mut Facts<'_>) {
    (facts.to, facts.schema) = ("1.2.3", Schema::Current);
}

fn template_only_without_a_schema(facts: &mut Facts<'_>) {
    facts.to = "1.2.3";
}

fn without_canary(facts: &mut Facts<'_>) {
    (facts.schema, facts.policy.canary) = (Schema::Expanded, false);
}

fn expanded(facts: &mut Facts<'_>) {
    facts.schema = Schema::Expanded;
}

/// Pods have the new template, and others the former one.
fn rolling(facts: &mut Facts<'_>) {
    (facts.live, facts.schema) = (Some(NEW), Schema::Expanded);
    (facts.pods.spread, facts.pods.of_live) = (Spread::Mixed, 1);
}

fn rolled(facts: &mut Facts<'_>) {
    (facts.live, facts.schema) = (Some(NEW), Schema::Expanded);
}

fn rolled_template(facts: &mut Facts<'_>) {
    template_only(facts);
    facts.live = Some(NEW);
}

fn rolled_and_held(facts: &mut Facts<'_>) {
    rolled(facts);
    held(facts);
}

fn template_not_applied(facts: &mut Facts<'_>) {
    expanded(facts);
}

/// From which stage, since 10 minutes, by which facts, to which stage.
#[rstest]
#[case::waits_for_the_database(Stage::Preflight, closed, Stage::Preflight)]
#[case::a_gate_holds(Stage::Preflight, held, Stage::Preflight)]
#[case::everything_is_there(Stage::Preflight, nothing, Stage::Planned)]
#[case::a_template_needs_the_schema_that_it_has(
    Stage::Preflight,
    template_only_without_a_schema,
    Stage::Preflight
)]
#[case::a_template_is_planned(Stage::Preflight, template_only, Stage::Planned)]
#[case::a_gate_holds_the_plan(Stage::Planned, held, Stage::Planned)]
#[case::a_backup_first(Stage::Planned, backed_up_first, Stage::BackingUp)]
#[case::a_template_needs_no_backup(Stage::Planned, template_only_and_backup, Stage::Canary)]
#[case::the_backup_is_awaited(Stage::BackingUp, held_for_a_backup, Stage::BackingUp)]
#[case::the_backup_is_made(Stage::BackingUp, backed_up_first, Stage::Expanding)]
#[case::the_schema_first(Stage::Planned, nothing, Stage::Expanding)]
#[case::a_template_goes_to_the_pods(Stage::Planned, template_only, Stage::Canary)]
#[case::the_job_is_at_work(Stage::Expanding, nothing, Stage::Expanding)]
#[case::then_one_pod(Stage::Expanding, expanded, Stage::Canary)]
#[case::no_canary(Stage::Expanding, without_canary, Stage::Rolling)]
#[case::the_template_is_not_applied_yet(Stage::Canary, template_not_applied, Stage::Canary)]
#[case::others_follow(Stage::Rolling, rolling, Stage::Rolling)]
#[case::all_followed(Stage::Rolling, rolled, Stage::Soaking)]
#[case::a_template_has_no_more_to_do(Stage::Rolling, rolled_template, Stage::Done)]
#[case::a_gate_holds_the_end(Stage::Soaking, rolled_and_held, Stage::Soaking)]
#[case::the_way_back(Stage::RollingBack, rolling, Stage::RollingBack)]
#[case::back(Stage::RollingBack, expanded, Stage::RolledBack)]
#[case::back_for_good(Stage::RolledBack, expanded, Stage::RolledBack)]
#[case::a_failure_that_stays(Stage::Failed, rolling, Stage::Failed)]
fn a_plan_goes_on(#[case] from: Stage, #[case] change: Change, #[case] expected: Stage) {
    let stable = stable("1.2.3", OLD);
    let mut facts = facts(&stable);
    change(&mut facts);
    let former = in_stage(&facts, from);
    assert_eq!(stage_after(Some(&former), &facts, later(600)), Some(expected));
}

#[test]
fn a_canary_is_watched_for_as_long_as_the_spec_says_and_from_the_beginning_after_each_break() {
    let stable = stable("1.2.3", OLD);
    let mut facts = facts(&stable);
    rolling(&mut facts);
    let mut upgrade = in_stage(&facts, Stage::Canary);
    let mut look = |at: i64, health: Health| {
        facts.pods.health = health;
        upgrade = advance(Some(&upgrade), &facts, later(at)).upgrade.unwrap();
        upgrade.clone()
    };
    assert_eq!(look(0, Health::Undecided).healthy_since, None);
    let first = look(10, Health::Healthy);
    assert_eq!((first.canary_pod.as_deref(), first.step), (Some("prod-engine-2"), Some(1)));
    assert_eq!(look(69, Health::Healthy).stage, Stage::Canary);
    assert_eq!(look(70, Health::Undecided).healthy_since, None);
    assert_eq!(look(80, Health::Healthy).stage, Stage::Canary);
    assert_eq!(look(139, Health::Healthy).stage, Stage::Canary);
    let next = look(140, Health::Healthy);
    assert_eq!((next.stage, next.healthy_since, next.rollbackable), (Stage::Rolling, None, true));
}

#[rstest]
#[case::canary(Stage::Canary, true, Stage::RollingBack)]
#[case::roll(Stage::Rolling, true, Stage::RollingBack)]
#[case::soak(Stage::Soaking, true, Stage::RollingBack)]
#[case::by_hand(Stage::Canary, false, Stage::Failed)]
fn a_pod_that_stays_unhealthy_ends_the_upgrade(
    #[case] stage: Stage,
    #[case] rolls_back: bool,
    #[case] expected: Stage,
) {
    let stable = stable("1.2.3", OLD);
    let mut facts = facts(&stable);
    rolling(&mut facts);
    facts.policy.rolls_back = rolls_back;
    facts.pods.health = Health::Faulty("engine pod prod-engine-2: CrashLoopBackOff".to_owned());
    let former = in_stage(&facts, stage);
    let first = advance(Some(&former), &facts, later(100)).upgrade.unwrap();
    assert_eq!((first.stage, first.unhealthy_since.clone()), (stage, Some(Time(later(100)))));
    let patient = advance(Some(&first), &facts, later(159)).upgrade.unwrap();
    assert_eq!(patient.stage, stage);
    let ended = advance(Some(&patient), &facts, later(160)).upgrade.unwrap();
    let failure = UpgradeFailure {
        stage,
        message: "engine pod prod-engine-2: CrashLoopBackOff".to_owned(),
        at: Some(Time(later(160))),
    };
    assert_eq!((ended.stage, ended.last_failure), (expected, Some(failure)));
}

/// The decision that cannot be taken back is one write, and only after it the schema is contracted.
#[test]
fn what_soaked_becomes_stable_before_the_schema_is_contracted() {
    let former = stable("1.2.3", OLD);
    let mut facts = facts(&former);
    rolled(&mut facts);
    let mut soaking = in_stage(&facts, Stage::Soaking);
    assert!(!permit(Some(&soaking), &facts).job);
    soaking.healthy_since = Some(Time(today()));
    assert_eq!(stage_after(Some(&soaking), &facts, later(119)), Some(Stage::Soaking));
    let Advance { upgrade, stable: next } = advance(Some(&soaking), &facts, later(120));
    let contracting = upgrade.unwrap();
    let reached = StableTemplate {
        version: "1.3.0".to_owned(),
        template_digest: NEW.to_owned(),
        revision: "revision-of-live".to_owned(),
    };
    assert_eq!((contracting.stage, contracting.rollbackable), (Stage::Contracting, false));
    assert_eq!(next.as_ref(), Some(&reached));

    facts.stable = Some(&reached);
    assert!(permit(Some(&contracting), &facts).job);
    assert_eq!(stage_after(Some(&contracting), &facts, later(130)), Some(Stage::Contracting));
    facts.schema = Schema::Current;
    let verifying = advance(Some(&contracting), &facts, later(140)).upgrade.unwrap();
    assert_eq!(verifying.stage, Stage::Verifying);
    held(&mut facts);
    let waiting = advance(Some(&verifying), &facts, later(150)).upgrade.unwrap();
    assert_eq!((waiting.stage, waiting.gate.as_ref()), (Stage::Verifying, Some(&GATE)));
    facts.gate = None;
    let done = advance(Some(&waiting), &facts, later(160)).upgrade.unwrap();
    assert_eq!((done.stage, done.gate), (Stage::Done, None));
}

/// Every stage in which the former version still is the stable one.
#[rstest]
#[case(Stage::Preflight, nothing, Stage::Done)]
#[case(Stage::Planned, nothing, Stage::Done)]
#[case(Stage::BackingUp, held, Stage::Done)]
#[case(Stage::Expanding, nothing, Stage::Done)]
#[case(Stage::Canary, rolling, Stage::RollingBack)]
#[case(Stage::Rolling, rolling, Stage::RollingBack)]
#[case(Stage::Soaking, rolled, Stage::RollingBack)]
#[case(Stage::RollingBack, rolling, Stage::RollingBack)]
#[case(Stage::RolledBack, expanded, Stage::Done)]
#[case(Stage::Failed, rolling, Stage::RollingBack)]
fn a_spec_that_is_set_back_ends_the_upgrade(
    #[case] stage: Stage,
    #[case] change: Change,
    #[case] expected: Stage,
) {
    let stable = stable("1.2.3", OLD);
    let mut facts = facts(&stable);
    change(&mut facts);
    let former = in_stage(&facts, stage);
    (facts.to, facts.wanted) = ("1.2.3", OLD);
    let next = advance(Some(&former), &facts, later(5));
    assert_eq!(next.upgrade.map(|upgrade| upgrade.stage), Some(expected));
    assert_eq!(next.stable.as_ref(), Some(&stable));
    assert_eq!(permit(Some(&former), &facts).template, Template::Wanted);
}

#[rstest]
#[case::nothing_was_done(Stage::Expanding, nothing, Stage::Preflight)]
#[case::pods_go_back_first(Stage::Rolling, rolling, Stage::RollingBack)]
#[case::all_pods_go_back_first(Stage::Soaking, rolled, Stage::RollingBack)]
#[case::after_a_failure(Stage::RolledBack, expanded, Stage::Preflight)]
fn another_plan_begins_once_no_pod_is_left_of_the_one_before(
    #[case] stage: Stage,
    #[case] change: Change,
    #[case] expected: Stage,
) {
    let stable = stable("1.2.3", OLD);
    let mut facts = facts(&stable);
    change(&mut facts);
    let former = in_stage(&facts, stage);
    (facts.to, facts.wanted) = ("1.3.1", "digest-of-a-third-template");
    let next = advance(Some(&former), &facts, later(5)).upgrade.unwrap();
    let is_new = next.plan_hash == Some(facts.plan_hash());
    assert_eq!((next.stage, is_new), (expected, expected == Stage::Preflight));
    assert_eq!(permit(Some(&former), &facts).template, Template::Stable);
    assert!(!permit(Some(&former), &facts).job);
}

/// Else a stable template that broke would hold up the spec that mends it.
#[test]
fn another_plan_does_not_wait_for_a_way_back_that_leads_nowhere() {
    let stable = stable("1.2.3", OLD);
    let mut facts = facts(&stable);
    rolling(&mut facts);
    let former = in_stage(&facts, Stage::RollingBack);
    facts.live = Some(OLD);
    facts.wanted = "digest-of-a-third-template";
    assert_eq!(stage_after(Some(&former), &facts, later(5)), Some(Stage::RollingBack));
    facts.pods.health = Health::Faulty("engine pod prod-engine-2: CrashLoopBackOff".to_owned());
    assert_eq!(stage_after(Some(&former), &facts, later(5)), Some(Stage::Preflight));
}

#[test]
fn pods_of_another_template_without_a_status_go_back_first() {
    let stable = stable("1.2.3", OLD);
    let mut facts = facts(&stable);
    rolling(&mut facts);
    assert_eq!(stage_after(None, &facts, today()), Some(Stage::RollingBack));
}

#[test]
fn what_was_complete_for_the_first_time_is_stable_without_an_upgrade() {
    let stable = stable("1.3.0", NEW);
    let mut facts = facts(&stable);
    (facts.stable, facts.live) = (None, Some(NEW));
    let incomplete = Advance { upgrade: None, stable: None };
    assert_eq!(advance(None, &facts, today()), incomplete, "the schema is not complete");
    facts.schema = Schema::Current;
    let reached = StableTemplate { revision: "revision-of-live".to_owned(), ..stable.clone() };
    assert_eq!(advance(None, &facts, today()), Advance { upgrade: None, stable: Some(reached) });
}

/// Nobody is watched, and the decision is in the status before the schema is contracted.
#[test]
fn without_pods_what_is_wanted_becomes_stable_at_once() {
    let former = stable("1.2.3", OLD);
    let mut facts = facts(&former);
    facts.pods.exist = false;
    let nothing = Permit { template: Template::Stable, job: false, pods: None };
    assert_eq!(permit(None, &facts), nothing);
    let planned = in_stage(&facts, Stage::Planned);
    let Advance { upgrade, stable: reached } = advance(Some(&planned), &facts, today());
    let contracting = upgrade.unwrap();
    assert_eq!((contracting.stage, contracting.rollbackable), (Stage::Contracting, false));
    let decided = StableTemplate { revision: String::new(), ..stable("1.3.0", NEW) };
    assert_eq!(reached.as_ref(), Some(&decided));

    facts.stable = Some(&decided);
    assert_eq!(
        permit(Some(&contracting), &facts),
        Permit { template: Template::Wanted, job: true, pods: None }
    );
    (facts.schema, facts.live) = (Schema::Current, Some(NEW));
    let done = advance(Some(&contracting), &facts, today());
    assert_eq!(done.upgrade.unwrap().stage, Stage::Verifying);
    assert_eq!(done.stable.unwrap().revision, "revision-of-live", "now it is known");
}

#[rstest]
#[case::refused(Stage::Preflight, Schema::Refused, false, Stage::Preflight)]
#[case::nobody_to_ask(Stage::Preflight, Schema::Closed, false, Stage::Preflight)]
#[case::allowed(Stage::Preflight, Schema::Former, false, Stage::Planned)]
#[case::a_backup_first(Stage::Planned, Schema::Former, true, Stage::BackingUp)]
#[case::the_backup_is_made(Stage::BackingUp, Schema::Former, true, Stage::Contracting)]
#[case::tried_again_when_it_runs(Stage::Canary, Schema::Expanded, false, Stage::Canary)]
#[case::all_pods_had_it_on_trial(Stage::Soaking, Schema::Expanded, false, Stage::Canary)]
#[case::it_failed(Stage::RolledBack, Schema::Expanded, false, Stage::RolledBack)]
#[case::it_failed_and_stays(Stage::Failed, Schema::Expanded, false, Stage::Failed)]
fn without_pods_only_what_was_not_tried_is_decided(
    #[case] stage: Stage,
    #[case] schema: Schema,
    #[case] backs_up: bool,
    #[case] expected: Stage,
) {
    let stable = stable("1.2.3", OLD);
    let mut facts = facts(&stable);
    (facts.pods.exist, facts.schema, facts.policy.backs_up) = (false, schema, backs_up);
    let former = in_stage(&facts, stage);
    let next = advance(Some(&former), &facts, today());
    let is_decided = next.stable.unwrap().version == "1.3.0";
    assert_eq!((next.upgrade.unwrap().stage, is_decided), (expected, expected == Stage::Contracting));
    assert_eq!(permit(Some(&former), &facts).template, Template::Stable);
}

#[test]
fn a_stable_version_that_the_schema_refuses_is_not_put_back() {
    let stable = stable("1.2.3", OLD);
    let mut facts = facts(&stable);
    (facts.to, facts.wanted, facts.live, facts.schema) = ("1.2.3", OLD, Some(NEW), Schema::Refused);
    assert_eq!(permit(None, &facts).template, Template::Live);
}

/// What each stage allows, when it is in the status.
#[rstest]
#[case(Stage::Preflight, Template::Stable, false, None)]
#[case(Stage::Planned, Template::Stable, false, None)]
#[case(Stage::BackingUp, Template::Stable, false, None)]
#[case(Stage::Expanding, Template::Stable, true, None)]
#[case(Stage::Canary, Template::Wanted, false, Some(1))]
#[case(Stage::Rolling, Template::Wanted, false, None)]
#[case(Stage::Soaking, Template::Wanted, false, None)]
#[case(Stage::RollingBack, Template::Stable, false, None)]
#[case(Stage::RolledBack, Template::Stable, false, None)]
#[case(Stage::Failed, Template::Wanted, false, Some(0))]
fn a_stage_allows_this_and_no_more(
    #[case] stage: Stage,
    #[case] template: Template,
    #[case] job: bool,
    #[case] pods: Option<i32>,
) {
    let stable = stable("1.2.3", OLD);
    let facts = facts(&stable);
    let former = in_stage(&facts, stage);
    assert_eq!(permit(Some(&former), &facts), Permit { template, job, pods });
}

/// Pods that have the new template stay, and no other gets it.
#[rstest]
#[case(Stage::Canary)]
#[case(Stage::Rolling)]
fn a_gate_holds_the_pods_where_they_are(#[case] stage: Stage) {
    let stable = stable("1.2.3", OLD);
    let mut facts = facts(&stable);
    rolling(&mut facts);
    held(&mut facts);
    let former = in_stage(&facts, stage);
    let permit = permit(Some(&former), &facts);
    assert_eq!(permit, Permit { template: Template::Wanted, job: false, pods: Some(0) });
    let next = advance(Some(&former), &facts, later(5)).upgrade.unwrap();
    assert_eq!((next.stage, next.gate.as_ref()), (stage, Some(&GATE)));
}

/// What is held goes back all the same.
#[test]
fn a_gate_does_not_hold_the_way_back() {
    let stable = stable("1.2.3", OLD);
    let mut facts = facts(&stable);
    rolling(&mut facts);
    held(&mut facts);
    facts.pods.health = Health::Faulty("engine pod prod-engine-2: CrashLoopBackOff".to_owned());
    let former = in_stage(&facts, Stage::Rolling);
    let faulty = advance(Some(&former), &facts, later(5)).upgrade.unwrap();
    let back = advance(Some(&faulty), &facts, later(70)).upgrade.unwrap();
    assert_eq!((back.stage, back.gate), (Stage::RollingBack, None));
}
