use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use rstest::rstest;
use tar::{Builder, Header};
use test_support::git_server::{Fault, GitServer, Stage};

use super::*;

const FILE: &[u8] = b"<definitions/>";

fn zipped(tar: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(tar).expect("in memory");
    encoder.finish().expect("in memory")
}

/// Names are written as they are: the library would refuse some of them.
fn entry(builder: &mut Builder<Vec<u8>>, type_: EntryType, name: &str, content: &[u8]) {
    let mut header = Header::new_ustar();
    header.set_entry_type(type_);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    if type_.is_symlink() || type_.is_hard_link() {
        header.set_size(0);
        header.set_link_name("/var/run/secrets/kubernetes.io/serviceaccount/token").expect("a link");
        header.set_cksum();
        builder.append(&header, std::io::empty()).expect("in memory");
    } else {
        header.set_cksum();
        builder.append(&header, content).expect("in memory");
    }
}

fn archive(entries: &[(EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (type_, name, content) in entries {
        entry(&mut builder, *type_, name, content);
    }
    zipped(&builder.into_inner().expect("in memory"))
}

fn find(archive: &[u8], path: &str) -> Result<Vec<u8>, Error> {
    find_file(archive, path, &Budget::default()).map(|bytes| bytes.to_vec())
}

fn refused(archive: &[u8], path: &str) -> (ErrorKind, String) {
    let error = find(archive, path).expect_err("refused");
    (error.kind, error.message)
}

#[rstest]
#[case::as_flux_writes_it("bpmn/order.bpmn")]
#[case::as_tar_writes_it("./bpmn/order.bpmn")]
fn a_file(#[case] name: &str) {
    let files = archive(&[
        (EntryType::Directory, "bpmn/", b""),
        (EntryType::Regular, "bpmn/other.bpmn", b"other"),
        (EntryType::Regular, name, FILE),
    ]);
    assert_eq!(find(&files, "bpmn/order.bpmn"), Ok(FILE.to_vec()));
}

#[test]
fn a_name_longer_than_a_header_holds() {
    let path = format!("{}/order.bpmn", "folder".repeat(30));
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(FILE.len() as u64);
    builder.append_data(&mut header, &path, FILE).expect("in memory");
    let files = zipped(&builder.into_inner().expect("in memory"));
    assert_eq!(find(&files, &path), Ok(FILE.to_vec()));
}

#[rstest]
#[case::symbolic_link(EntryType::Symlink, ErrorKind::NotAFile)]
#[case::hard_link(EntryType::Link, ErrorKind::NotAFile)]
#[case::folder(EntryType::Directory, ErrorKind::NotAFile)]
#[case::device(EntryType::Block, ErrorKind::NotAFile)]
#[case::pipe(EntryType::Fifo, ErrorKind::NotAFile)]
fn what_is_no_regular_file(#[case] type_: EntryType, #[case] kind: ErrorKind) {
    assert_eq!(refused(&archive(&[(type_, "order.bpmn", b"")]), "order.bpmn").0, kind);
}

#[rstest]
#[case::up("../order.bpmn")]
#[case::absolute("/order.bpmn")]
#[case::inside("a/../order.bpmn")]
#[case::other_case("Order.bpmn")]
fn a_name_that_only_resolves_to_the_path_is_another_one(#[case] name: &str) {
    let files = archive(&[(EntryType::Regular, name, FILE)]);
    let missing = (ErrorKind::FileMissing, "the archive has no such file".to_owned());
    assert_eq!(refused(&files, "order.bpmn"), missing);
}

#[test]
fn a_file_that_is_there_twice_is_refused() {
    let twice =
        archive(&[(EntryType::Regular, "order.bpmn", FILE), (EntryType::Regular, "./order.bpmn", b"other")]);
    assert_eq!(refused(&twice, "order.bpmn").0, ErrorKind::Malformed);
}

#[test]
fn budgets() {
    let zeros = vec![0; 3 << 20];
    let files = archive(&[
        (EntryType::Regular, "zeros", &zeros),
        (EntryType::Regular, "large.bpmn", &zeros[..=(1 << 20)]),
        (EntryType::Regular, "order.bpmn", FILE),
    ]);
    assert_eq!(find(&files, "order.bpmn"), Ok(FILE.to_vec()));
    let large = (ErrorKind::TooLarge, "the file has 1048577 bytes; expected at most 1048576".to_owned());
    assert_eq!(refused(&files, "large.bpmn"), large);
    let within = |budget: Budget| find_file(&files, "order.bpmn", &budget).map_err(|error| error.message);
    let bomb = Budget { unpacked_bytes: 1 << 20, ..Budget::default() };
    assert_eq!(within(bomb), Err("the artifact has more bytes than a source may have".to_owned()));
    let many = Budget { entries: 2, ..Budget::default() };
    assert_eq!(within(many), Err("the artifact has more entries than a source may have".to_owned()));
}

#[rstest]
#[case::nothing(b"".to_vec())]
#[case::no_gzip(b"PK\x03\x04".to_vec())]
#[case::no_tar(zipped(&[b'x'; 2_000]))]
#[case::cut({ let mut cut = archive(&[(EntryType::Regular, "order.bpmn", FILE)]); cut.truncate(60); cut })]
fn what_is_no_archive(#[case] bytes: Vec<u8>) {
    let (kind, _) = refused(&bytes, "order.bpmn");
    assert!(matches!(kind, ErrorKind::Malformed | ErrorKind::FileMissing), "{kind:?}");
}

/// Whatever the bytes are: no panic, and an answer soon. `FUZZ_SECONDS`: how long to try, 2 when left out.
#[test]
fn no_archive_makes_the_reader_fail() {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let began = std::time::Instant::now();
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(FILE.len() as u64);
    builder.append_data(&mut header, "folder/".repeat(30) + "order.bpmn", FILE).expect("in memory");
    builder.append_pax_extensions([("path", &b"order.bpmn"[..]), ("size", &b"14"[..])]).expect("in memory");
    entry(&mut builder, EntryType::Regular, "other", FILE);
    let tar = builder.into_inner().expect("in memory");
    let odd: [&[u8]; 6] =
        [b"\0", b"\xff", b"77777777777\0", b"-1", b"\x80\0\0\0\xff\xff\xff\xff", b"30 path=order.bpmn\n"];
    for seed in 1_u64.. {
        if began.elapsed() > Duration::from_secs(seconds) {
            break;
        }
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut below = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % bound.max(1) as u64).unwrap_or_default()
        };
        let mut changed = tar.clone();
        for _ in 0..=below(4) {
            let (at, odd) = (below(changed.len()), odd[below(odd.len())]);
            let end = (at + odd.len()).min(changed.len());
            changed[at..end].copy_from_slice(&odd[..end - at]);
        }
        changed.truncate(changed.len() - below(600));
        let budget = Budget { unpacked_bytes: 1 << 20, ..Budget::default() };
        let found = std::panic::catch_unwind(|| find_file(&zipped(&changed), "order.bpmn", &budget));
        assert!(found.is_ok(), "the archive of seed {seed} panics");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_taken_only_with_its_digest() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = GitServer::start_in_clear_text().await;
    let files = archive(&[(EntryType::Regular, "order.bpmn", FILE)]);
    let digest =
        Sha256::digest(&files).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    server.set_fault(Stage::Other, Fault::Body(200, files.clone()));
    let url = Url::parse(&server.url("artifact.tar.gz")).expect("a URL");
    let policy = AddressPolicy {
        allowed: vec!["127.0.0.0/8".parse().expect("a range"), "::1/128".parse().expect("a range")],
        denied: Vec::new(),
    };
    let download = async |sha256: &str, budget: Budget| {
        download(&url, sha256, &policy, &budget).await.map_err(|error| error.kind)
    };
    let archive = download(&digest, Budget::default()).await.expect("an archive");
    let found = read_file(archive, "order.bpmn".to_owned(), Budget::default()).await;
    assert_eq!(found.as_deref(), Ok(FILE));
    assert_eq!(download(&"0".repeat(64), Budget::default()).await, Err(ErrorKind::Malformed));
    let narrow = Budget { archive_bytes: 20, ..Budget::default() };
    assert_eq!(download(&digest, narrow).await, Err(ErrorKind::TooLarge));
    server.set_fault(Stage::Other, Fault::Status(404));
    assert_eq!(download(&digest, Budget::default()).await, Err(ErrorKind::FileMissing));
    server.set_fault(Stage::Other, Fault::Silence);
    let hurried = Budget { time: Duration::from_millis(500), ..Budget::default() };
    assert_eq!(download(&digest, hurried).await, Err(ErrorKind::TimedOut));
}
