use api_types::WorkflowCluster;
use jiff::ToSpan as _;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use rstest::rstest;

use super::*;
use crate::observe::dependants::Holder;
use crate::plan::access::{build_secret, metadata};
use crate::testing::{minimal, proof, secret, today, with_input};
use controller_kit::plan::Desired;

/// Three keys; the last characters of each must not say more than 32 bytes.
const KEYS: [(&str, &str); 3] = [
    ("A", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    ("B", "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBE"),
    ("C", "CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCI"),
];

fn text_of(letter: &str) -> &str {
    KEYS.iter().find(|(known, _)| *known == letter).map_or(letter, |(_, text)| text)
}

fn id_of(letter: &str) -> String {
    TenantKey::parse(text_of(letter)).unwrap().id().to_owned()
}

/// So many minutes before the pass.
fn ago(minutes: i64) -> Timestamp {
    today() - minutes.minutes()
}

/// A Secret as this controller left it: `next=B current=A`, and its annotations.
#[derive(Clone, Default)]
struct Left {
    data: &'static str,
    word: Option<&'static str>,
    since: Option<i64>,
    unheld: Option<i64>,
}

fn live(cluster: &WorkflowCluster, access: Access, left: &Left) -> RedactedSecret {
    let entries: Vec<_> = left.data.split(' ').filter_map(|entry| entry.split_once('=')).collect();
    let entries: Vec<_> = entries.into_iter().map(|(key, letter)| (key, text_of(letter))).collect();
    let name = access_secret_name("dev", access);
    let mut metadata = with_input(cluster, |input| metadata(input, name.clone()));
    let annotations = [
        (ROTATE_CREDENTIALS, left.word.map(str::to_owned)),
        (ROTATION_SINCE, left.since.map(|minutes| ago(minutes).to_string())),
        (UNHELD_SINCE, left.unheld.map(|minutes| ago(minutes).to_string())),
    ];
    let present: std::collections::BTreeMap<_, _> =
        annotations.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    metadata.annotations = (!present.is_empty()).then_some(present);
    let view = AccessView { proof: proof(), ..AccessView::default() };
    let desired = Desired::of(&view.prove("dev", build_secret(metadata, secret(&name, &entries).data())));
    RedactedSecret(serde_json::from_value::<Secret>(desired.body).unwrap())
}

/// What is done to the Secret: a word, or all that it has afterwards.
fn reported(step: &Step) -> String {
    match step {
        Step::Own(ClusterStep::CreateCredential { metadata, .. }) => {
            format!("create{}", reported_annotations(metadata))
        }
        Step::Own(ClusterStep::AnnounceCredential { metadata, .. }) => {
            format!("announce{}", reported_annotations(metadata))
        }
        Step::Apply(desired) => {
            let secret: Secret = serde_json::from_value(desired.body.clone()).unwrap();
            let data = secret.data.clone().unwrap_or_default().into_iter().map(|(key, value)| {
                let text = String::from_utf8(value.0).unwrap();
                let letter = KEYS.iter().find(|(_, known)| *known == text).map_or("?", |(letter, _)| letter);
                format!("{key}={letter}")
            });
            format!("{}{}", data.collect::<Vec<_>>().join(" "), reported_annotations(&secret.metadata))
        }
        other => format!("{other:?}"),
    }
}

/// Word and ages in minutes.
fn reported_annotations(metadata: &ObjectMeta) -> String {
    let value = |key: &str| metadata.annotations.as_ref().and_then(|all| all.get(key));
    let age =
        |key: &str| value(key).map(|time| (today() - time.parse::<Timestamp>().unwrap()).get_seconds() / 60);
    let word = value(ROTATE_CREDENTIALS).map(|word| format!(" word={word}"));
    let since = age(ROTATION_SINCE).map(|age| format!(" since={age}"));
    let unheld = age(UNHELD_SINCE).map(|age| format!(" unheld={age}"));
    [word, since, unheld].into_iter().flatten().collect()
}

const SETTLE: i64 = 10;
const OVERLAP: i64 = 24 * 60;

fn left(data: &'static str, word: Option<&'static str>, since: Option<i64>, unheld: Option<i64>) -> Left {
    Left { data, word, since, unheld }
}

const NOBODY: &[Option<&str>] = &[];
const HAS_B: &[Option<&str>] = &[Some("B")];
const HAS_A: &[Option<&str>] = &[Some("B"), Some("A")];
const UNKNOWN: &[Option<&str>] = &[None];

/// The worker key: what is there, what the person wrote, of which keys workers have tokens, and what becomes of it.
#[rstest]
#[case::rests(left("current=A", None, None, None), None, NOBODY, &[])]
#[case::rests_after_a_rotation(left("current=B", Some("one"), None, None), Some("one"), HAS_B, &[])]
#[case::keeps_in_mind_what_was_asked(left("current=B", Some("one"), None, None), None, HAS_B, &[])]
#[case::an_empty_word_asks_for_nothing(left("current=A", None, None, None), Some(""), NOBODY, &[])]
#[case::is_asked(left("current=A", None, None, None), Some("one"), NOBODY, &["announce word=one since=0"])]
#[case::is_asked_again(left("current=A", Some("one"), None, None), Some("two"), NOBODY, &["announce word=two since=0"])]
#[case::settles(left("current=A next=B", Some("one"), Some(SETTLE - 1), None), Some("one"), HAS_A, &[])]
#[case::another_word_waits(left("current=A next=B", Some("one"), Some(SETTLE - 1), None), Some("two"), HAS_A, &[])]
#[case::is_used(left("current=A next=B", Some("one"), Some(SETTLE), None), Some("one"), HAS_A, &["current=B previous=A word=one since=0"])]
#[case::a_time_that_was_lost_begins_anew(left("current=A next=B", Some("one"), None, None), Some("one"), HAS_A, &["current=A next=B word=one since=0"])]
#[case::a_broken_next_is_made_anew(left("current=A next=x", Some("one"), Some(5), None), Some("one"), HAS_A, &["announce word=one since=0"])]
#[case::a_broken_current_is_an_emergency(left("current=x next=B", Some("one"), Some(5), None), Some("two"), HAS_A, &["create word=two"])]
#[case::overlaps(left("current=B previous=A", Some("one"), Some(60), None), Some("one"), HAS_A, &[])]
#[case::everybody_has_the_new_one(left("current=B previous=A", Some("one"), Some(60), None), Some("one"), HAS_B, &["current=B previous=A word=one since=60 unheld=0"])]
#[case::somebody_has_the_old_one_again(left("current=B previous=A", Some("one"), Some(60), Some(30)), Some("one"), HAS_A, &["current=B previous=A word=one since=60"])]
#[case::overlaps_on_though_nobody_has_it(left("current=B previous=A", Some("one"), Some(OVERLAP - 1), Some(60)), Some("one"), HAS_B, &[])]
#[case::pods_get_time(left("current=B previous=A", Some("one"), Some(OVERLAP), Some(SETTLE - 1)), Some("one"), HAS_B, &[])]
#[case::is_held(left("current=B previous=A", Some("one"), Some(OVERLAP * 9), None), Some("one"), HAS_A, &[])]
#[case::is_held_by_what_is_not_known(left("current=B previous=A", Some("one"), Some(OVERLAP * 9), None), Some("one"), UNKNOWN, &[])]
#[case::ends(left("current=B previous=A", Some("one"), Some(OVERLAP), Some(SETTLE)), Some("one"), HAS_B, &["current=B word=one"])]
#[case::ends_before_the_next_word(left("current=B previous=A", Some("one"), Some(OVERLAP), Some(SETTLE)), Some("two"), HAS_B, &["current=B word=one"])]
#[case::a_broken_previous_goes(left("current=B previous=x", Some("one"), Some(5), None), Some("one"), HAS_A, &["current=B word=one"])]
#[case::a_foreign_key_goes(left("current=B more=A", Some("one"), None, None), Some("one"), NOBODY, &["current=B word=one"])]
fn a_key_goes_through_its_stages(
    #[case] left: Left,
    #[case] word: Option<&str>,
    #[case] tokens: &[Option<&str>],
    #[case] expected: &[&str],
) {
    assert_eq!(planned(Access::WorkerKey, Some(&left), word, tokens), expected);
}

/// Nobody reports which token he has: the overlap alone counts.
#[rstest]
#[case::overlaps(left("current=B previous=A", Some("one"), Some(OVERLAP - 1), None), &[])]
#[case::ends(left("current=B previous=A", Some("one"), Some(OVERLAP), None), &["current=B word=one"])]
fn a_token_is_held_by_nobody(#[case] left: Left, #[case] expected: &[&str]) {
    assert_eq!(planned(Access::MonitorToken, Some(&left), Some("one"), HAS_A), expected);
}

#[test]
fn a_new_or_deleted_secret_has_no_overlap_and_takes_the_word_as_done() {
    assert_eq!(planned(Access::ClientKey, None, Some("one"), NOBODY), ["create word=one"]);
    assert_eq!(planned(Access::ClientKey, None, None, NOBODY), ["create"]);
    let long = "x".repeat(1000);
    let [created] = planned(Access::ClientKey, None, Some(&long), NOBODY).try_into().unwrap();
    assert_eq!(created.len(), "create word=".len() + 16, "{created}");
}

fn planned(access: Access, left: Option<&Left>, word: Option<&str>, tokens: &[Option<&str>]) -> Vec<String> {
    let cluster = minimal(|cluster| {
        cluster.annotations_mut().extend(word.map(|word| (ROTATE_CREDENTIALS.to_owned(), word.to_owned())));
    });
    let holder =
        |key: Option<&str>| Holder { object: "WorkflowWorker acme/w".into(), key_id: key.map(id_of) };
    let holders = tokens.iter().copied().map(holder).collect::<Vec<_>>();
    let mut view = AccessView { proof: proof(), ..AccessView::default() };
    view.holders = [(Access::WorkerKey, holders.clone()), (Access::ClientKey, holders)].into();
    view.credentials.extend(left.map(|left| (access, live(&cluster, access, left))));
    let mut draft = Draft::default();
    with_input(&cluster, |input| plan_credentials(input, &view, today(), &mut draft));
    let name = access_secret_name("dev", access);
    let is_it = |step: &&Step| match step {
        Step::Own(
            ClusterStep::CreateCredential { access: which, .. }
            | ClusterStep::AnnounceCredential { access: which, .. },
        ) => *which == access,
        Step::Apply(desired) => desired.name == name,
        _ => true,
    };
    draft.steps.iter().filter(is_it).map(reported).collect()
}

#[test]
fn the_secret_that_is_least_far_tells_how_far_the_rotation_is() {
    let cluster = minimal(|_| ());
    let rotation = |lefts: &[(Access, Left)]| {
        let mut view = AccessView { proof: proof(), ..AccessView::default() };
        view.holders =
            [(Access::WorkerKey, vec![Holder { object: "w".into(), key_id: Some(id_of("A")) }])].into();
        view.credentials =
            lefts.iter().map(|(access, left)| (*access, live(&cluster, *access, left))).collect();
        with_input(&cluster, |input| rotation_of(input, &view))
    };
    let rests = (Access::ControllerToken, left("current=A", None, None, None));
    let announced = (Access::MonitorToken, left("current=A next=B", None, Some(3), None));
    let overlaps = (Access::ClientKey, left("current=B previous=A", None, Some(1), None));
    let held = (Access::WorkerKey, left("current=B previous=A", None, Some(2), None));
    assert_eq!(rotation(std::slice::from_ref(&rests)), None);
    let until = ago(3) + SETTLE.minutes();
    assert_eq!(rotation(&[rests.clone(), announced, overlaps.clone()]), Some(Rotation::Announced { until }));
    let until = ago(1) + OVERLAP.minutes();
    assert_eq!(
        rotation(&[rests, held, overlaps]),
        Some(Rotation::Overlapping { until, holders: vec!["w".to_owned()] })
    );
}
