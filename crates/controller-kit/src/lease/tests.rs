#![allow(clippy::unchecked_time_subtraction, reason = "a test that subtracts too much shall fail")]

mod apiserver;
mod model;

use jiff::Timestamp;
use serde_json::json;

use super::protocol::{Draft, Holder, Record};
use super::*;

const DURATION: Duration = Duration::from_secs(15);
const SEEN: Duration = Duration::from_secs(1_000);
/// 10:00:00 and five microseconds, as `acquireTime` and as token.
const ACQUIRED: &str = "1970-01-01T10:00:00.000005Z";
const TOKEN: u64 = 36_000_000_005;

fn record(holder: &Holder<&str>, version: &str) -> Record<String, String> {
    Record {
        uid: "u".into(),
        version: version.into(),
        holder: match holder {
            Holder::Nobody => Holder::Nobody,
            Holder::Released => Holder::Released,
            Holder::Held(identity) => Holder::Held((*identity).to_owned()),
        },
        duration: DURATION,
        token: TOKEN,
    }
}

fn member(seen: Option<Record<String, String>>) -> Member<String, String> {
    let mut member = Member::new("me".to_owned(), DURATION);
    member.observe(seen, SEEN);
    member
}

fn leader() -> Member<String, String> {
    let mut leader = member(Some(record(&Holder::Released, "1")));
    leader.accept(record(&Holder::Held("me"), "2"), SEEN, SEEN + Duration::from_secs(3));
    leader
}

fn held_by_me(token: u64) -> Draft<String> {
    Draft { holder: Holder::Held("me".into()), duration: DURATION, token }
}

#[test]
fn a_candidate_takes_the_record_only_when_no_other_holder_can_write() {
    let wall = TOKEN + 7;
    let nearly = Duration::from_millis(14_999);
    let rest = Step::Wait(Duration::from_millis(1));
    let unheld = Draft { holder: Holder::Nobody, duration: DURATION, token: 0 };
    let cases = [
        ("there is none: its former holder may still write", None, Duration::ZERO, Step::Create(unheld)),
        ("it was made by a candidate", Some(Holder::Nobody), nearly, rest.clone()),
        (
            "and the whole duration has passed since",
            Some(Holder::Nobody),
            DURATION,
            Step::Replace(held_by_me(wall)),
        ),
        ("it was released", Some(Holder::Released), Duration::ZERO, Step::Replace(held_by_me(wall))),
        ("another holds it", Some(Holder::Held("other")), nearly, rest),
        ("another stopped renewing", Some(Holder::Held("other")), DURATION, Step::Replace(held_by_me(wall))),
        (
            "our write was taken without an answer",
            Some(Holder::Held("me")),
            nearly,
            Step::Replace(held_by_me(TOKEN)),
        ),
    ];
    for (case, holder, later, expected) in cases {
        let seen = holder.map(|holder| record(&holder, "1"));
        assert_eq!(member(seen).decide(SEEN + later, wall), expected, "{case}");
    }
}

#[test]
fn a_holder_renews_its_record_and_ends_when_the_record_is_another() {
    let other = Holder::Held("other");
    let recreated = Record { uid: "another".into(), ..record(&Holder::Held("me"), "9") };
    let cases = [
        ("it is as it was left", Some(record(&Holder::Held("me"), "2")), Step::Replace(held_by_me(TOKEN))),
        ("somebody else is in it", Some(record(&other, "3")), Step::Lost(Some("other".into()))),
        ("somebody removed the holder", Some(record(&Holder::Released, "3")), Step::Lost(None)),
        ("it was deleted", None, Step::Lost(None)),
        ("it was restored from a backup", Some(recreated), Step::Lost(None)),
    ];
    for (case, seen, expected) in cases {
        let mut leader = leader();
        leader.observe(seen, SEEN + Duration::from_secs(5));
        assert_eq!(leader.decide(SEEN + Duration::from_secs(5), TOKEN + 9), expected, "{case}");
    }
}

#[test]
fn a_holder_counts_from_before_its_write_and_a_candidate_from_the_answer() {
    let hold = leader().hold.unwrap();
    assert_eq!((hold.until, hold.token), (SEEN + Duration::from_secs(10), TOKEN), "not from the answer");

    let of_another = record(&Holder::Held("other"), "1");
    let mut candidate = member(None);
    candidate.observe(Some(of_another.clone()), SEEN);
    candidate.observe(Some(of_another), SEEN + Duration::from_secs(10));
    assert_eq!(candidate.decide(SEEN + DURATION, 0), Step::Replace(held_by_me(TOKEN + 1)), "unchanged since");
    candidate.observe(Some(record(&Holder::Held("other"), "2")), SEEN + Duration::from_secs(10));
    assert_eq!(candidate.decide(SEEN + DURATION, 0), Step::Wait(Duration::from_secs(10)), "renewed since");
}

#[test]
fn a_longer_duration_of_the_holder_is_respected() {
    let held = Record { duration: Duration::from_mins(1), ..record(&Holder::Held("other"), "1") };
    let candidate = member(Some(held));
    assert_eq!(candidate.decide(SEEN + DURATION, 0), Step::Wait(Duration::from_secs(45)));
    assert_eq!(candidate.decide(SEEN + Duration::from_mins(1), 0), Step::Replace(held_by_me(TOKEN + 1)));
}

#[test]
fn every_change_of_the_holder_makes_the_token_larger_whatever_the_clocks_say() {
    let taken = |member: &Member<String, String>, wall| match member.decide(SEEN + DURATION, wall) {
        Step::Replace(draft) => draft.token,
        step => panic!("{step:?}"),
    };
    let silent = member(Some(record(&Holder::Held("other"), "1")));
    assert_eq!(taken(&silent, TOKEN + 2), TOKEN + 2, "a clock that goes on");
    assert_eq!(taken(&silent, TOKEN), TOKEN + 1, "two in one instant");
    assert_eq!(taken(&silent, 3), TOKEN + 1, "a clock that lags behind the former holder's");
    let mut remembers = silent;
    remembers.observe(None, SEEN);
    let recreated = Record { uid: "v".into(), token: 0, ..record(&Holder::Nobody, "9") };
    remembers.observe(Some(recreated), SEEN);
    assert_eq!(taken(&remembers, 3), TOKEN + 1, "the Lease was deleted in between");
}

#[test]
fn the_lease_is_released_only_when_every_write_has_its_answer() {
    let given = Draft { holder: Holder::Released, duration: DURATION, token: TOKEN };
    assert_eq!(leader().release(false), Some(given));
    assert_eq!(leader().release(true), None);
    let mut lost = leader();
    lost.observe(Some(record(&Holder::Held("other"), "3")), SEEN);
    assert_eq!(lost.release(false), None, "another one holds it");
}

#[test]
fn a_lease_is_replaced_together_with_all_its_other_fields() {
    let read: Lease = serde_json::from_value(json!({
        "metadata": {"name": "l", "uid": "u", "resourceVersion": "1", "labels": {"a": "b"}},
        "spec": {"holderIdentity": "other", "leaseDurationSeconds": 15, "leaseTransitions": 4,
            "acquireTime": ACQUIRED, "renewTime": ACQUIRED},
    }))
    .unwrap();
    assert_eq!(record_of(&read), record(&Holder::Held("other"), "1"));
    let wall = Timestamp::from_second(50_000).unwrap();
    let written =
        |former: Option<&Lease>, draft| serde_json::to_value(build_lease("l", former, draft, wall)).unwrap();
    assert_eq!(
        written(Some(&read), held_by_me(TOKEN + 1)),
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "l", "uid": "u", "resourceVersion": "1", "labels": {"a": "b"}},
            "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15, "leaseTransitions": 5,
                "acquireTime": "1970-01-01T10:00:00.000006Z", "renewTime": "1970-01-01T13:53:20.000000Z"},
        })
    );
    let made = written(None, Draft { holder: Holder::Nobody, duration: DURATION, token: 0 });
    assert_eq!(
        made["spec"],
        json!({"leaseDurationSeconds": 15, "leaseTransitions": 0, "renewTime": "1970-01-01T13:53:20.000000Z"})
    );
    let unheld: Lease = serde_json::from_value(made).unwrap();
    assert_eq!((record_of(&unheld).holder, record_of(&unheld).token), (Holder::Nobody, 0));
    let taken = build_lease("l", Some(&unheld), held_by_me(TOKEN), wall);
    assert_eq!(taken.spec.unwrap().lease_transitions, Some(0), "the first holder follows nobody");
}

#[test]
fn the_fence_closes_by_itself_and_no_write_outlasts_it() {
    let (fence, call) = (Fence::closed(), Duration::from_secs(20));
    assert_eq!(fence.time_to_write_at(SEEN, call), None);
    fence.extend(SEEN + Duration::from_secs(10), TOKEN);
    assert_eq!(fence.time_to_write_at(SEEN, call), Some(Duration::from_secs(10)));
    let late = SEEN + Duration::from_secs(9);
    assert_eq!(fence.time_to_write_at(late, call), Some(Duration::from_secs(1)));
    assert_eq!(fence.time_to_write_at(SEEN + Duration::from_secs(10), call), None);
    assert_eq!(Fence::open().time_to_write_at(SEEN, call), Some(call));
}

#[test]
fn a_fence_has_a_token_from_its_first_renewal_on() {
    assert_eq!(Fence::open().token(), None);
    assert_eq!(Fence::open_with(3).token(), Some(3));
    let fence = Fence::closed();
    assert_eq!(fence.token(), None);
    fence.clone().extend(since_boot() + DURATION, 4);
    assert_eq!((fence.token(), fence.is_open()), (Some(4), true));
    fence.close();
    assert_eq!((fence.token(), fence.is_open()), (Some(4), false), "a call under way is still this holder's");
}

#[test]
fn a_write_without_an_answer_is_remembered_for_as_long_as_it_may_take_effect() {
    let (fence, margin) = (Fence::open(), Duration::from_secs(5));
    assert!(!fence.has_unanswered_writes(margin));
    let write = fence.begin_write(DURATION);
    assert!(fence.has_unanswered_writes(margin), "under way");
    write.answered();
    assert!(!fence.has_unanswered_writes(margin));
    drop(fence.begin_write(Duration::ZERO));
    assert!(fence.has_unanswered_writes(margin), "given up");
    assert!(!fence.has_unanswered_writes(Duration::ZERO), "and nothing is under way for so long");
}
