use jiff::SignedDuration;

use super::{
    super::issue::{issue, service_names},
    *,
};

const DAY: i64 = 24 * 3600;

fn start() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("a timestamp")
}

fn after(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

fn names() -> Vec<String> {
    service_names("adapter", "workflow-system")
}

fn issued(now: Timestamp) -> Issued {
    issue(&names(), now).expect("a certificate should be made")
}

fn pair(issued: &Issued) -> Pair {
    Pair { chain: issued.chain.clone(), key: issued.key.clone() }
}

/// A Secret as it is after the first start.
fn fresh() -> (Stored, Issued) {
    let first = issued(start());
    (Stored { current: pair(&first), next: None, bundle: first.authority.clone() }, first)
}

#[test]
fn missing_secret_is_created() {
    assert_eq!(plan(None, &names(), None, start()), Step::Create);
}

#[test]
fn unreadable_secret_is_made_anew() {
    let stored = Stored { bundle: "?".into(), ..Stored::default() };
    assert_eq!(plan(Some(&stored), &names(), None, start()), Step::Create);
}

#[test]
fn secret_of_another_service_is_made_anew() {
    let (stored, _) = fresh();
    let other = service_names("adapter", "elsewhere");
    assert_eq!(plan(Some(&stored), &other, None, start()), Step::Create);
}

#[test]
fn key_of_another_certificate_is_made_anew() {
    let (mut stored, _) = fresh();
    stored.current.key = issued(start()).key;
    assert_eq!(plan(Some(&stored), &names(), None, start()), Step::Create);
}

#[test]
fn young_certificate_is_kept() {
    let (stored, first) = fresh();
    for now in [start(), after(59 * DAY)] {
        assert_eq!(plan(Some(&stored), &names(), Some(first.authority.as_bytes()), now), Step::Keep);
    }
}

#[test]
fn next_certificate_is_staged_in_the_last_third() {
    let (stored, first) = fresh();
    let now = after(61 * DAY);
    assert_eq!(plan(Some(&stored), &names(), Some(first.authority.as_bytes()), now), Step::Stage);
    let next = issued(now);
    let staged =
        advance(Some(&stored), Step::Stage, || Some(next.clone()), now).expect("staging changes the Secret");
    assert!(
        staged
            == Stored {
                current: stored.current.clone(),
                next: Some(pair(&next)),
                bundle: format!("{}{}", first.authority, next.authority),
            },
        "the old certificate is served on, both authorities are trusted"
    );
}

#[test]
fn next_certificate_is_promoted_only_when_its_authority_is_known_for_a_while() {
    let (stored, first) = fresh();
    let now = after(61 * DAY);
    let next = issued(now);
    let staged = advance(Some(&stored), Step::Stage, || Some(next.clone()), now).expect("staged");
    let later = now + SignedDuration::from_secs(301);

    let plan_with =
        |published: Option<&str>, now| plan(Some(&staged), &names(), published.map(str::as_bytes), now);
    assert_eq!(plan_with(None, later), Step::Keep, "nobody knows what kube-apiserver trusts");
    assert_eq!(plan_with(Some(&first.authority), later), Step::Keep, "the new authority is not published");
    assert_eq!(plan_with(Some(&staged.bundle), now), Step::Keep, "published just now");
    assert_eq!(plan_with(Some(&staged.bundle), later), Step::Promote);

    let promoted = advance(Some(&staged), Step::Promote, || None, later).expect("promoted");
    assert!(promoted == Stored { current: pair(&next), next: None, bundle: staged.bundle.clone() });
    assert_eq!(plan(Some(&promoted), &names(), Some(promoted.bundle.as_bytes()), later), Step::Keep);
}

#[test]
fn expired_certificate_is_replaced_at_once() {
    let (stored, _) = fresh();
    assert_eq!(plan(Some(&stored), &names(), None, after(90 * DAY + 1)), Step::Create);
}

#[test]
fn expired_authorities_leave_the_bundle() {
    let (first, second) = (issued(start()), issued(after(61 * DAY)));
    let stored = Stored {
        current: pair(&second),
        next: None,
        bundle: format!("{}{}", first.authority, second.authority),
    };
    let now = after(130 * DAY);
    let third = issued(now);
    let staged = advance(Some(&stored), Step::Stage, || Some(third.clone()), now).expect("staged");
    assert_eq!(staged.bundle, format!("{}{}", second.authority, third.authority));
}
