use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn daily() -> Schedule {
    Schedule::parse("0 3 * * *", "UTC").unwrap()
}

const JITTER: SignedDuration = SignedDuration::from_secs(40);
const SINCE: &str = "2026-06-01T12:00:00Z";
const RUN: &str = "2026-06-02T03:00:00Z";

#[rstest]
#[case::before("2026-06-02T02:59:59Z", Due::No)]
#[case::at_its_moment_of_others("2026-06-02T03:00:39Z", Due::No)]
#[case::in_time("2026-06-02T03:00:40Z", Due::Make(at(RUN)))]
#[case::a_little_later("2026-06-02T03:05:00Z", Due::Make(at(RUN)))]
#[case::late("2026-06-02T15:00:00Z", Due::Make(at(RUN)))]
#[case::nearly_too_late("2026-06-02T20:59:59Z", Due::Make(at(RUN)))]
#[case::too_late("2026-06-02T21:01:00Z", Due::Missed { at: at(RUN), next: at("2026-06-03T03:00:00Z") })]
#[case::days_later("2026-06-05T15:00:00Z", Due::Make(at("2026-06-05T03:00:00Z")))]
fn what_is_due(#[case] now: &str, #[case] expected: Due) {
    assert_eq!(judge(&daily(), at(SINCE), JITTER, at(now)).due, expected);
}

#[test]
fn it_wakes_when_the_next_run_is_due() {
    let wake = judge(&daily(), at(SINCE), JITTER, at("2026-06-01T13:00:00Z")).wake;
    assert_eq!(wake, Some(at("2026-06-02T03:00:40Z")));
    // Between the moment and its jitter it is this run, not the one of tomorrow.
    let wake = judge(&daily(), at(SINCE), JITTER, at("2026-06-02T03:00:10Z")).wake;
    assert_eq!(wake, Some(at("2026-06-02T03:00:40Z")));
}

#[test]
fn clusters_are_spread_over_a_minute_and_stay_where_they_are() {
    let cluster = |uid: String| {
        let mut cluster = crate::testing::cluster(crate::testing::CLUSTER);
        cluster.metadata.uid = Some(uid);
        jitter(&cluster)
    };
    let all: std::collections::BTreeSet<_> = (0..200).map(|n| cluster(format!("uid-{n}"))).collect();
    assert!(all.len() > 40, "{all:?}");
    assert!(all.iter().all(|it| (0..60).contains(&it.as_secs())), "{all:?}");
    assert_eq!(cluster("a".to_owned()), cluster("a".to_owned()));
}

/// Passes of one controller over some days: how long after the last pass the next one is, and whether the process was
/// started anew before it, with nothing in memory but what is stored.
fn any_passes() -> impl Strategy<Value = Vec<(i64, bool)>> {
    let step = prop_oneof![8 => 1_i64..90, 2 => 90_i64..4_000, 1 => 4_000_i64..200_000];
    proptest::collection::vec((step, any::<bool>()), 1..400)
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let crons = ["0 3 * * *", "*/15 * * * *", "30 2 * * *", "0 */6 * * *", "7 1,2 * * *"];
    let zones = ["UTC", "Europe/Berlin", "America/New_York"];
    (proptest::sample::select(crons.to_vec()), proptest::sample::select(zones.to_vec()))
        .prop_map(|(cron, zone)| Schedule::parse(cron, zone).unwrap())
}

proptest! {
    #[test]
    fn no_run_is_made_twice_and_none_is_lost(
        schedule in any_schedule(),
        // Around the days on which clocks are set.
        start in prop_oneof![1_774_400_000_i64..1_774_900_000, 1_792_500_000_i64..1_793_300_000],
        jitter in 0_i64..60,
        passes in any_passes(),
    ) {
        let jitter = SignedDuration::from_secs(jitter);
        let began = Timestamp::from_second(start).unwrap();
        // Of a run that was made an object is stored; of one that was missed, nothing but the process's memory.
        let (mut stored, mut remembered) = (began, began);
        let (mut made, mut missed) = (Vec::new(), Vec::new());
        let mut now = began;
        let mut last_pass = began;
        for (seconds, restarted) in passes {
            now += SignedDuration::from_secs(seconds);
            if restarted {
                remembered = stored;
            }
            match judge(&schedule, stored.max(remembered), jitter, now).due {
                Due::No => {}
                Due::Make(at) => {
                    made.push(at);
                    stored = at;
                    remembered = at;
                }
                Due::Missed { at, .. } => {
                    missed.push(at);
                    remembered = at;
                }
            }
            // A controller that looks every few minutes loses nothing: all runs until now are made.
            if seconds <= 240 && let Some(due) = schedule.last_between(last_pass - jitter, now - jitter) && due > began {
                prop_assert_eq!(made.last(), Some(&due));
            }
            last_pass = now;
        }
        let mut distinct = made.clone();
        distinct.sort();
        distinct.dedup();
        prop_assert_eq!(&distinct, &made, "in order, and each once");
        prop_assert!(made.iter().all(|at| *at > began && *at + jitter <= now));
        // Every run is made, or reported as missed, or older than one that is.
        let last = made.iter().chain(&missed).max();
        if let Some(due) = schedule.last_between(began, now - jitter) {
            prop_assert!(last.is_some_and(|last| *last >= due), "{} was lost", due);
        }
    }
}
