mod apiserver;

use jiff::Timestamp;

use super::*;

const DURATION: Duration = Duration::from_secs(15);

fn candidate(identity: &str, seen: Option<Seen>) -> LeaderLease {
    let client = kube::Client::new(
        tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("no server"))
        }),
        "ns",
    );
    let clock = Clock::fixed(Timestamp::UNIX_EPOCH);
    let mut lease = LeaderLease::new(
        Api::namespaced(client, "ns"),
        "l",
        identity.into(),
        DURATION,
        clock,
        Fence::closed(),
    );
    lease.seen = seen;
    lease
}

fn record(holder: &str, version: &str) -> Lease {
    Lease {
        metadata: ObjectMeta { resource_version: Some(version.into()), ..ObjectMeta::default() },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(4),
            ..LeaseSpec::default()
        }),
    }
}

fn written_holder(decision: Decision) -> Option<(String, i32)> {
    let (Decision::Create(lease) | Decision::Write(lease)) = decision else { return None };
    let spec = lease.spec.unwrap();
    Some((spec.holder_identity.unwrap(), spec.lease_transitions.unwrap()))
}

#[tokio::test]
async fn who_may_write_the_record() {
    let seen_at = Instant::now();
    let cases = [
        ("nobody has it", None, Duration::ZERO, Some(0)),
        ("we have it", Some("me"), Duration::ZERO, Some(4)),
        ("it was given away", Some(""), Duration::ZERO, Some(5)),
        ("another holds it", Some("other"), Duration::from_millis(14_999), None),
        ("another went silent for the whole duration", Some("other"), DURATION, Some(5)),
    ];
    for (case, holder, later, expected) in cases {
        let seen = holder.map(|holder| Seen { lease: record(holder, "1"), unchanged_since: seen_at });
        let decision = candidate("me", seen).decide(seen_at + later);
        assert_eq!(
            written_holder(decision),
            expected.map(|transitions| ("me".to_owned(), transitions)),
            "{case}"
        );
    }
}

#[tokio::test]
async fn a_longer_duration_of_the_holder_is_respected() {
    let mut lease = record("other", "1");
    lease.spec.as_mut().unwrap().lease_duration_seconds = Some(60);
    let seen_at = Instant::now();
    let candidate = candidate("me", Some(Seen { lease, unchanged_since: seen_at }));
    assert_eq!(candidate.decide(seen_at + Duration::from_secs(59)), Decision::Wait);
    assert_ne!(candidate.decide(seen_at + Duration::from_mins(1)), Decision::Wait);
}

#[test]
fn a_renewal_by_the_holder_restarts_the_wait() {
    let first = Instant::now();
    let later = first + Duration::from_secs(10);
    let unchanged =
        observe_seen(observe_seen(None, Some(record("o", "1")), first), Some(record("o", "1")), later);
    assert_eq!(unchanged.unwrap().unchanged_since, first);
    let renewed =
        observe_seen(observe_seen(None, Some(record("o", "1")), first), Some(record("o", "2")), later);
    assert_eq!(renewed.unwrap().unchanged_since, later);
}

#[test]
fn the_fence_closes_by_itself() {
    let fence = Fence::closed();
    let now = Instant::now();
    assert!(!fence.is_open_at(now));
    fence.extend_until(now + Duration::from_secs(10));
    assert!(fence.is_open_at(now + Duration::from_secs(9)));
    assert!(!fence.is_open_at(now + Duration::from_secs(11)));
}

#[tokio::test]
async fn the_holder_stops_before_anyone_can_take_over() {
    assert!(candidate("me", None).write_window() < DURATION);
}

#[test]
fn every_change_of_the_holder_makes_the_token_larger_whatever_the_clocks_say() {
    let at = |micros: i64| MicroTime(Timestamp::from_microsecond(micros).unwrap());
    let cases = [
        ("the first holder", None, 7, 7),
        ("a clock that goes on", Some(5), 7, 7),
        ("two in one instant", Some(7), 7, 8),
        ("a clock that lags behind the former holder's", Some(9_000_000), 7, 9_000_001),
    ];
    for (case, former, now, expected) in cases {
        assert_eq!(later_than(former.map(at).as_ref(), &at(now)), at(expected), "{case}");
    }
}

#[tokio::test]
async fn the_token_changes_with_the_holder_and_not_with_a_renewal() {
    let acquired = MicroTime(Timestamp::from_microsecond(5_000_001).unwrap());
    let token_written = |holder: &str| {
        let mut lease = record(holder, "1");
        lease.spec.as_mut().unwrap().acquire_time = Some(acquired.clone());
        let seen = Seen { lease, unchanged_since: Instant::now() };
        match candidate("me", Some(seen)).decide(Instant::now()) {
            Decision::Create(lease) | Decision::Write(lease) => token_of(&lease),
            Decision::Wait => None,
        }
    };
    assert_eq!(token_written("me"), Some(5_000_001), "renewed");
    assert_eq!(token_written(""), Some(5_000_002), "taken over by a replica whose clock lags behind");
}

#[test]
fn a_fence_tells_its_token_once_it_has_one() {
    assert_eq!(Fence::open().token(), None);
    assert_eq!(Fence::open_with(3).token(), Some(3));
    let fence = Fence::closed();
    assert_eq!(fence.token(), None);
    fence.clone().extend(Instant::now() + DURATION, Some(4));
    assert_eq!((fence.token(), fence.is_open()), (Some(4), true));
    fence.close();
    assert_eq!((fence.token(), fence.is_open()), (Some(4), false), "a call under way is still this holder's");
}
