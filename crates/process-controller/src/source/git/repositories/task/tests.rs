use controller_kit::outcome::ErrorClass;
use remote_files::git::Revision;
use rstest::rstest;

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

#[rstest]
#[case::settled(0, 0.5, Duration::from_mins(1))]
#[case::early(0, 0.0, Duration::from_secs(54))]
#[case::late(0, 1.0, Duration::from_secs(66))]
#[case::first_failure(1, 0.5, Duration::from_secs(5))]
#[case::fourth_failure(4, 0.5, Duration::from_secs(40))]
#[case::no_longer_than_the_interval(5, 0.5, Duration::from_mins(1))]
#[case::for_ever(u32::MAX, 0.5, Duration::from_mins(1))]
fn who_has_nothing_yet_is_served_sooner(#[case] failures: u32, #[case] jitter: f64, #[case] pause: Duration) {
    assert_eq!(pause_after(MINUTE, failures, jitter), pause);
}

fn served() -> Served {
    let reader = Reader {
        uid: "a".to_owned(),
        object: ObjectRef::new("a"),
        revision: Revision::parse("main").unwrap(),
        path: "a.bpmn".to_owned(),
        interval: MINUTE,
        requested_at: None,
    };
    Served { reader, due: Instant::now(), failures: 0, reading: None }
}

fn file(commit: &str) -> File {
    File { commit: commit.to_owned(), bytes: b"<a/>".as_slice().into() }
}

fn failure(message: &str) -> Result<File, ReadFailure> {
    let problem = Problem::new(ProcessReason::SourceUnreachable, ErrorClass::Transient, message);
    Err(ReadFailure { problem, revision: None })
}

#[tokio::test]
async fn what_was_read_stays_while_the_repository_cannot_be_read() {
    let mut served = served();
    assert!(served.keep(&failure("away")));
    assert!(!served.keep(&failure("away")), "the same again is nothing new");
    assert_eq!((served.file(), served.failures), (None, 2));
    assert!(served.keep(&Ok(file("1"))));
    assert_eq!((served.file(), served.failures), (Some(file("1")), 0));
    assert!(served.keep(&failure("away")));
    assert_eq!((served.file(), served.failures), (Some(file("1")), 0));
    assert!(served.keep(&failure("refused")), "another failure is reported");
    assert!(served.keep(&Ok(file("1"))), "it is over");
    assert!(!served.keep(&Ok(file("1"))));
    assert!(served.keep(&Ok(file("2"))));
}

#[test]
fn nobody_reads_what_others_fetched() {
    let key = |namespace: &str, url: &str, secret: Option<&str>| Key {
        namespace: namespace.to_owned(),
        url: remote_files::git::RepositoryUrl::parse(url).unwrap(),
        secret: secret.map(str::to_owned),
    };
    let mut folders = vec![
        folder_of(&key("acme", "https://git.example.com/a", None)),
        folder_of(&key("acme", "https://git.example.com/a", Some("forge"))),
        folder_of(&key("acme", "https://git.example.com/b", None)),
        folder_of(&key("beta", "https://git.example.com/a", None)),
        folder_of(&key("acme", "https://git.example.com/a/forge", None)),
    ];
    assert!(
        folders
            .iter()
            .all(|folder| folder.len() == 64 && folder.bytes().all(|byte| byte.is_ascii_hexdigit()))
    );
    folders.sort();
    folders.dedup();
    assert_eq!(folders.len(), 5);
}
