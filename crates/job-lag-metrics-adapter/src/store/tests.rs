use std::collections::BTreeSet;

use rstest::rstest;

use engine_client::model::{JobLag, JobSeries};

use super::{samples::MAX_SERIES_PER_TENANT, *};
use crate::visibility::Scope;

const MAX_AGE: Duration = Duration::from_mins(1);

fn measured(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a timestamp")
}

fn key(name: &str) -> ClusterKey {
    ClusterKey { namespace: "workflow-system".to_owned(), name: name.to_owned() }
}

fn series(tenant: &str, job_type: &str) -> JobSeries {
    JobSeries { tenant_id: tenant.to_owned(), job_type: job_type.to_owned() }
}

/// `waits`: seconds that the oldest job had waited when measured at second 0.
fn lag(tenant: &str, job_type: &str, jobs: u64, waits: Option<i64>) -> JobLag {
    JobLag {
        series: series(tenant, job_type),
        activatable: jobs,
        oldest_run_at: waits.map(|seconds| measured(-seconds)),
        activated: 0,
    }
}

fn snapshot(at: i64, lags: Vec<JobLag>) -> JobLagUpdate {
    JobLagUpdate { snapshot: true, complete: true, lags, removed: Vec::new(), measured_at: measured(at) }
}

fn delta(at: i64, lags: Vec<JobLag>, removed: Vec<JobSeries>) -> JobLagUpdate {
    JobLagUpdate { snapshot: false, complete: true, lags, removed, measured_at: measured(at) }
}

fn everything(names: &[&str]) -> View {
    names.iter().map(|name| (key(name), Scope::All)).collect()
}

struct Asked<'a> {
    store: &'a Store,
    view: View,
    now: Instant,
}

impl Asked<'_> {
    fn millis(&self, metric: Metric, selector: &str) -> Result<u64, NoReading> {
        self.reading(metric, selector).map(|reading| reading.millis)
    }

    fn reading(&self, metric: Metric, selector: &str) -> Result<Reading, NoReading> {
        let selector = selector.parse().expect("a selector");
        self.store.read(&self.view, metric, &selector, self.now, MAX_AGE)
    }
}

fn filled(born: Instant) -> Store {
    let store = Store::default();
    let lags = vec![
        lag("acme", "charge", 3, Some(30)),
        lag("globex", "charge", 5, Some(10)),
        lag("_default", "charge", 7, Some(50)),
        lag("acme", "refund", 0, None),
        lag("_canary", "probe", 1, Some(1000)),
    ];
    store.feed(&key("prod")).apply(&snapshot(0, lags), born);
    store
}

#[rstest]
#[case::one("job_type=charge,tenant=acme", 30_000, 3_000)]
#[case::without_tenant("job_type=charge,!tenant", 50_000, 7_000)]
#[case::several("job_type=charge", 50_000, 15_000)]
#[case::several_tenants("job_type=charge,tenant", 30_000, 8_000)]
#[case::idle("job_type=refund", 0, 0)]
#[case::all("", 50_000, 15_000)]
fn several_series_are_the_longest_lag_and_the_sum_of_the_backlog(
    #[case] selector: &str,
    #[case] lag: u64,
    #[case] backlog: u64,
) {
    let born = Instant::now();
    let store = filled(born);
    let asked = Asked { store: &store, view: everything(&["prod"]), now: born };
    assert_eq!(asked.millis(Metric::JobLagSeconds, selector), Ok(lag));
    assert_eq!(asked.millis(Metric::JobBacklog, selector), Ok(backlog));
}

#[test]
fn lag_grows_between_samples_and_idle_stays_zero() {
    let born = Instant::now();
    let store = filled(born);
    let asked =
        Asked { store: &store, view: everything(&["prod"]), now: born + Duration::from_millis(1_500) };
    assert_eq!(asked.millis(Metric::JobLagSeconds, "job_type=charge,tenant=acme"), Ok(31_500));
    assert_eq!(asked.millis(Metric::JobLagSeconds, "job_type=refund"), Ok(0));
}

#[test]
fn labels_are_those_that_all_series_share() {
    let born = Instant::now();
    let store = filled(born);
    let asked = Asked { store: &store, view: everything(&["prod"]), now: born };
    let cluster = [("cluster", "prod".to_owned()), ("cluster_namespace", "workflow-system".to_owned())];
    let labels = |selector| asked.reading(Metric::JobBacklog, selector).map(|reading| reading.labels);
    let with = |extra: &[(&'static str, &str)]| {
        let extra = extra.iter().map(|(key, value)| (*key, (*value).to_owned()));
        Ok(cluster.clone().into_iter().chain(extra).collect::<BTreeMap<_, _>>())
    };
    assert_eq!(labels("job_type=charge,tenant=acme"), with(&[("job_type", "charge"), ("tenant", "acme")]));
    assert_eq!(labels("job_type=charge,!tenant"), with(&[("job_type", "charge")]));
    assert_eq!(labels("tenant=acme"), with(&[("tenant", "acme")]));
    assert_eq!(labels(""), with(&[]));
}

#[test]
fn work_of_the_engine_itself_is_never_seen() {
    let born = Instant::now();
    let store = filled(born);
    let asked = Asked { store: &store, view: everything(&["prod"]), now: born };
    assert_eq!(asked.millis(Metric::JobLagSeconds, "job_type=probe"), Err(NoReading::NothingMatches));
}

#[test]
fn scope_hides_other_tenants_and_work_without_one() {
    let born = Instant::now();
    let store = filled(born);
    let scope = Scope::Tenants(BTreeSet::from(["globex".to_owned()]));
    let asked = Asked { store: &store, view: [(key("prod"), scope)].into_iter().collect(), now: born };
    assert_eq!(asked.millis(Metric::JobBacklog, "job_type=charge"), Ok(5_000));
    assert_eq!(
        asked.millis(Metric::JobBacklog, "job_type=charge,tenant=acme"),
        Err(NoReading::NothingMatches)
    );
    assert_eq!(asked.millis(Metric::JobBacklog, "job_type=charge,!tenant"), Err(NoReading::NothingMatches));
    assert_eq!(asked.millis(Metric::JobBacklog, "job_type=refund"), Err(NoReading::NothingMatches));
}

#[test]
fn cluster_outside_the_view_does_not_exist() {
    let born = Instant::now();
    let store = filled(born);
    let asked = Asked { store: &store, view: View::default(), now: born };
    assert_eq!(asked.millis(Metric::JobBacklog, ""), Err(NoReading::NothingMatches));
}

#[test]
fn delta_changes_adds_and_removes() {
    let born = Instant::now();
    let store = filled(born);
    let now = born + Duration::from_secs(1);
    let changed = vec![lag("acme", "charge", 4, Some(29)), lag("acme", "mail", 1, Some(0))];
    store
        .feed(&key("prod"))
        .apply(&delta(1, changed, vec![series("acme", "refund"), series("globex", "charge")]), now);
    let asked = Asked { store: &store, view: everything(&["prod"]), now };
    // Measured one second later, so the same oldest job has waited one second more.
    assert_eq!(asked.millis(Metric::JobLagSeconds, "job_type=charge,tenant=acme"), Ok(30_000));
    assert_eq!(asked.millis(Metric::JobLagSeconds, "job_type=charge,!tenant"), Ok(51_000));
    assert_eq!(asked.millis(Metric::JobBacklog, "job_type=mail"), Ok(1_000));
    assert_eq!(asked.millis(Metric::JobBacklog, "job_type=refund"), Err(NoReading::NothingMatches));
    assert_eq!(asked.millis(Metric::JobBacklog, "tenant=globex"), Err(NoReading::NothingMatches));
}

#[test]
fn snapshot_forgets_what_it_does_not_name() {
    let born = Instant::now();
    let store = filled(born);
    store.feed(&key("prod")).apply(&snapshot(1, vec![lag("acme", "mail", 1, Some(0))]), born);
    let asked = Asked { store: &store, view: everything(&["prod"]), now: born };
    assert_eq!(asked.millis(Metric::JobBacklog, ""), Ok(1_000));
}

#[test]
fn delta_without_its_snapshot_is_nothing() {
    let store = Store::default();
    let now = Instant::now();
    store.feed(&key("prod")).apply(&delta(0, vec![lag("acme", "mail", 1, Some(0))], Vec::new()), now);
    let asked = Asked { store: &store, view: everything(&["prod"]), now };
    assert_eq!(
        asked.millis(Metric::JobBacklog, "job_type=mail"),
        Err(NoReading::NotFresh { cluster: key("prod"), age: None })
    );
}

#[test]
fn snapshot_counts_only_when_it_is_complete() {
    let born = Instant::now();
    let store = filled(born);
    let at = |second| born + Duration::from_secs(second);
    let read = |selector: &str, second| {
        let asked = Asked { store: &store, view: everything(&["prod"]), now: at(second) };
        asked.millis(Metric::JobBacklog, selector)
    };
    let cluster = key("prod");
    let part = |job_type: &str| snapshot(100, vec![lag("acme", job_type, 1, Some(0))]);

    let mut interrupted = store.feed(&cluster);
    interrupted.apply(&JobLagUpdate { complete: false, ..part("lost") }, at(50));
    drop(interrupted);
    let mut feed = store.feed(&cluster);
    feed.apply(&JobLagUpdate { complete: false, ..part("first") }, at(60));
    assert_eq!(read("job_type=refund", 60), Ok(0), "what was known counts until then");
    assert_eq!(read("job_type=first", 60), Err(NoReading::NothingMatches));
    let stale = NoReading::NotFresh { cluster: cluster.clone(), age: Some(Duration::from_secs(61)) };
    assert_eq!(read("job_type=refund", 61), Err(stale), "a part confirms nothing");

    feed.apply(&part("second"), at(70));
    assert_eq!(read("", 70), Ok(2_000));
    assert_eq!(read("job_type=first", 70), Ok(1_000));
    assert_eq!(read("job_type=lost", 70), Err(NoReading::NothingMatches));
    assert_eq!(read("job_type=refund", 70), Err(NoReading::NothingMatches));
}

#[test]
fn part_of_a_change_confirms_nothing() {
    let born = Instant::now();
    let store = filled(born);
    let cluster = key("prod");
    let mut feed = store.feed(&cluster);
    let now = born + Duration::from_secs(30);
    let part = delta(30, vec![lag("acme", "mail", 1, Some(0))], Vec::new());
    feed.apply(&JobLagUpdate { complete: false, ..part.clone() }, now);
    assert_eq!(store.state(now)[&cluster].age, Duration::from_secs(30));
    feed.apply(&delta(30, Vec::new(), Vec::new()), now);
    assert_eq!(store.state(now)[&cluster].age, Duration::ZERO);
}

#[test]
fn tenant_with_too_many_job_types_takes_no_room_of_others() {
    let now = Instant::now();
    let store = Store::default();
    let many = (0..MAX_SERIES_PER_TENANT + 10).map(|n| lag("acme", &format!("type-{n:05}"), 1, Some(0)));
    let lags = many.chain([lag("globex", "charge", 5, Some(10))]).collect();
    store.feed(&key("prod")).apply(&snapshot(0, lags), now);
    let read = |selector| {
        Asked { store: &store, view: everything(&["prod"]), now }.millis(Metric::JobBacklog, selector)
    };
    assert_eq!(read("tenant=globex"), Ok(5_000));
    assert_eq!(read("job_type=type-03999"), Ok(1_000));
    assert_eq!(read("job_type=type-04000"), Err(NoReading::NothingMatches));
    assert_eq!(store.state(now)[&key("prod")], State { age: Duration::ZERO, cut_tenants: 1 });

    // Those that are kept still change, and what goes makes room.
    let changes = vec![lag("acme", "type-00001", 7, Some(0)), lag("acme", "type-04001", 1, Some(0))];
    store.feed(&key("prod")).apply(&delta(1, changes, vec![series("acme", "type-00000")]), now);
    assert_eq!(read("job_type=type-00001"), Ok(7_000));
    assert_eq!(read("job_type=type-04001"), Ok(1_000));
}

#[test]
fn heartbeat_keeps_values_fresh_and_repeated_measurements_do_not() {
    let born = Instant::now();
    let store = filled(born);
    let stale = |age| Err(NoReading::NotFresh { cluster: key("prod"), age: Some(Duration::from_secs(age)) });
    let at = |second| Asked {
        store: &store,
        view: everything(&["prod"]),
        now: born + Duration::from_secs(second),
    };
    assert_eq!(at(60).millis(Metric::JobBacklog, "job_type=refund"), Ok(0));
    assert_eq!(at(61).millis(Metric::JobBacklog, "job_type=refund"), stale(61));

    store.feed(&key("prod")).apply(&delta(50, Vec::new(), Vec::new()), born + Duration::from_secs(50));
    assert_eq!(at(61).millis(Metric::JobBacklog, "job_type=refund"), Ok(0));
    assert_eq!(at(61).millis(Metric::JobLagSeconds, "job_type=charge,tenant=acme"), Ok(91_000));

    store.feed(&key("prod")).apply(&delta(50, Vec::new(), Vec::new()), born + Duration::from_secs(100));
    assert_eq!(at(111).millis(Metric::JobBacklog, "job_type=refund"), stale(61));
    // A new connection counts, even if its engine's clock is behind.
    store
        .feed(&key("prod"))
        .apply(&snapshot(40, vec![lag("acme", "refund", 0, None)]), born + Duration::from_secs(112));
    assert_eq!(at(112).millis(Metric::JobBacklog, "job_type=refund"), Ok(0));
}

#[test]
fn silent_cluster_matters_only_where_it_could_match() {
    let born = Instant::now();
    let store = filled(born);
    store.feed(&key("old")).apply(&snapshot(0, vec![lag("acme", "mail", 1, Some(0))]), born);
    let now = born + Duration::from_secs(61);
    store.feed(&key("prod")).apply(&delta(61, Vec::new(), Vec::new()), now);
    let asked = Asked { store: &store, view: everything(&["never", "old", "prod"]), now };
    let not_fresh = |cluster, age: Option<u64>| {
        Err(NoReading::NotFresh { cluster: key(cluster), age: age.map(Duration::from_secs) })
    };
    assert_eq!(asked.millis(Metric::JobBacklog, "job_type=refund"), Ok(0), "the others must not stop it");
    assert_eq!(asked.millis(Metric::JobBacklog, "job_type=mail"), not_fresh("old", Some(61)));
    assert_eq!(
        asked.millis(Metric::JobBacklog, ""),
        not_fresh("old", Some(61)),
        "a sum without it would be wrong"
    );
    assert_eq!(asked.millis(Metric::JobBacklog, "job_type=unheard-of"), not_fresh("never", None));
    assert_eq!(asked.millis(Metric::JobBacklog, "job_type=x,cluster=prod"), Err(NoReading::NothingMatches));
    assert_eq!(asked.millis(Metric::JobBacklog, "job_type=x,cluster=old"), not_fresh("old", Some(61)));
}

#[test]
fn values_are_clamped() {
    let born = Instant::now();
    let store = Store::default();
    let lags = vec![
        lag("acme", "ahead", 1, Some(-5)),
        lag("acme", "ancient", u64::MAX, Some(31 * 24 * 3600)),
        lag("acme", "ancient-too", u64::MAX, Some(1)),
    ];
    store.feed(&key("prod")).apply(&snapshot(0, lags), born);
    let asked = Asked { store: &store, view: everything(&["prod"]), now: born };
    assert_eq!(asked.millis(Metric::JobLagSeconds, "job_type=ahead"), Ok(0));
    assert_eq!(asked.millis(Metric::JobLagSeconds, "job_type=ancient"), Ok(30 * 24 * 3600 * 1000));
    assert_eq!(asked.millis(Metric::JobBacklog, ""), Ok(2_147_483_647_000));
}

#[test]
fn measured_at_is_the_longest_ago() {
    let born = Instant::now();
    let store = filled(born);
    store.feed(&key("other")).apply(&snapshot(7, vec![lag("acme", "charge", 1, Some(0))]), born);
    let asked = Asked { store: &store, view: everything(&["other", "prod"]), now: born };
    let reading = asked.reading(Metric::JobBacklog, "job_type=charge").expect("a reading");
    assert_eq!(reading.measured_at, measured(0));
}

#[test]
fn job_type_that_is_no_label_is_found_by_its_encoding() {
    let born = Instant::now();
    let store = Store::default();
    let too_long = "ü".repeat(40);
    let lags = vec![lag("acme", "io.camunda:http-json:1", 2, Some(1)), lag("acme", &too_long, 2, Some(1))];
    store.feed(&key("prod")).apply(&snapshot(0, lags), born);
    let asked = Asked { store: &store, view: everything(&["prod"]), now: born };
    assert_eq!(asked.millis(Metric::JobBacklog, "job_type=x_io.camunda_3ahttp-json_3a1_x"), Ok(2_000));
    assert_eq!(asked.millis(Metric::JobBacklog, ""), Ok(2_000), "one that has no encoding is left out");
}

#[test]
fn forgotten_cluster_was_never_heard_of() {
    let born = Instant::now();
    let store = filled(born);
    store.forget(&key("prod"));
    assert_eq!(store.state(born), BTreeMap::new());
    let asked = Asked { store: &store, view: everything(&["prod"]), now: born };
    assert_eq!(
        asked.millis(Metric::JobBacklog, ""),
        Err(NoReading::NotFresh { cluster: key("prod"), age: None })
    );
}

/// Whether or not its engine was ever heard of: the adapter may have been started after it was stopped.
#[test]
fn a_stopped_cluster_has_no_lag_and_no_backlog_of_any_job_type() {
    let born = Instant::now();
    let store = filled(born);
    store.set_stopped([(key("prod"), measured(9)), (key("other"), measured(8))].into());
    let later = born + Duration::from_hours(9);
    let asked = Asked { store: &store, view: everything(&["prod", "other"]), now: later };
    let idle = |measured_at, labels: &[(&'static str, &str)]| {
        let labels = labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        Ok(Reading { millis: 0, labels, measured_at })
    };
    for metric in [Metric::JobLagSeconds, Metric::JobBacklog] {
        assert_eq!(
            asked.reading(metric, "job_type=charge,cluster=prod"),
            idle(measured(9), &[("cluster", "prod"), ("cluster_namespace", "workflow-system")])
        );
        let shared = [("cluster_namespace", "workflow-system")];
        assert_eq!(asked.reading(metric, "job_type=unknown"), idle(measured(8), &shared));
    }
    store.set_stopped(BTreeMap::new());
    assert!(matches!(
        asked.reading(Metric::JobLagSeconds, "job_type=charge,cluster=prod"),
        Err(NoReading::NotFresh { .. })
    ));
}

/// Its 0 must not stand for those of whom nothing is known.
#[test]
fn a_stopped_cluster_does_not_speak_for_others() {
    let born = Instant::now();
    let store = filled(born);
    store.set_stopped([(key("night"), measured(0))].into());
    let asked = Asked { store: &store, view: everything(&["night", "prod"]), now: born };
    assert_eq!(asked.millis(Metric::JobBacklog, "job_type=charge,tenant=acme"), Ok(3_000));
    let asked = Asked { store: &store, view: everything(&["night", "silent"]), now: born };
    let silent = NoReading::NotFresh { cluster: key("silent"), age: None };
    assert_eq!(asked.millis(Metric::JobLagSeconds, "job_type=charge"), Err(silent));
}
