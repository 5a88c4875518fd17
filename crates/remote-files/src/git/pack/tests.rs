//! Packs that a server could make up. Real ones are changed at random, with a right checksum, so that the changes reach what is behind it.

use std::fs;
use std::io::BufReader;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rstest::rstest;
use test_support::git_server::GitRepository;

use super::*;

/// Sizes and texts that readers of packs have stumbled over.
const ODD: [&[u8]; 8] =
    [&[0], &[0xff], &[0xff; 10], &[0x80; 9], b"PACK\0\0\0\x02", &[0x78, 0x9c], &[0x70], &[0x60, 0x01]];

/// A pack with commits, trees, files and deltas of both kinds.
fn real_packs() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let repository = GitRepository::at(folder.path());
    let base = (0..300).fold(String::new(), |text, line| text + &format!("<task id=\"t{line}\"/>\n"));
    for version in 0..6 {
        let text = format!("{base}<end id=\"{version}\"/>");
        repository.commit("main", &[("a/b/c.bpmn", text.as_bytes()), ("other", b"x")]);
    }
    let settings: [&[&str]; 2] =
        [&["-c", "repack.useDeltaBaseOffset=true"], &["-c", "repack.useDeltaBaseOffset=false"]];
    settings
        .iter()
        .map(|setting| {
            let arguments = [setting, &["repack", "-a", "-d", "-f", "-q", "--depth=50"][..]].concat();
            repository.git(&arguments, b"");
            let packs = fs::read_dir(folder.path().join("objects/pack")).expect("a folder of packs");
            let pack = packs
                .filter_map(|entry| Some(entry.ok()?.path()))
                .find(|path| path.extension().is_some_and(|extension| extension == "pack"))
                .expect("a pack");
            fs::read(pack).expect("its bytes")
        })
        .collect()
}

/// Numbers that a seed repeats.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below.max(1) as u64).unwrap_or_default()
    }
}

fn changed(pack: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = pack[..pack.len() - 20].to_vec();
    for _ in 0..=numbers.next(4) {
        let at = numbers.next(bytes.len());
        match numbers.next(6) {
            0 => bytes[at] ^= 1 << numbers.next(8),
            1 => {
                let odd = ODD[numbers.next(ODD.len())];
                let end = (at + odd.len()).min(bytes.len());
                bytes[at..end].copy_from_slice(&odd[..end - at]);
            }
            2 => bytes.truncate(at.max(12)),
            3 => {
                let piece = bytes[at..(at + numbers.next(64)).min(bytes.len())].to_vec();
                let to = numbers.next(bytes.len());
                bytes.splice(to..to, piece);
            }
            4 => drop(bytes.drain(at..(at + numbers.next(16)).min(bytes.len()))),
            // The number of objects.
            _ => bytes[8 + numbers.next(4).min(3)] = ODD[numbers.next(3)][0],
        }
        if bytes.len() < 12 {
            bytes.resize(12, 0);
        }
    }
    let mut hasher = gix_hash::hasher(gix_hash::Kind::Sha1);
    hasher.update(&bytes);
    let checksum = hasher.try_finalize().expect("no collision");
    bytes.extend_from_slice(checksum.as_slice());
    bytes
}

fn receive_bytes(bytes: &[u8]) -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a folder");
    let budget = Budget { object_bytes: 1 << 20, unpacked_bytes: 8 << 20, ..Budget::default() };
    receive(&mut BufReader::new(bytes), folder.path(), &budget, &AtomicBool::new(false))
}

#[test]
fn real_packs_are_received() {
    for pack in real_packs() {
        assert_eq!(receive_bytes(&pack), Ok(()));
    }
}

#[rstest]
#[case::empty(b"")]
#[case::no_pack(b"PACK")]
#[case::other_version(b"PACK\0\0\0\x09\0\0\0\0")]
#[case::objects_that_do_not_come(b"PACK\0\0\0\x02\0\0\0\x01")]
fn what_is_no_pack_is_refused(#[case] bytes: &[u8]) {
    assert_eq!(receive_bytes(bytes).map_err(|error| error.kind), Err(ErrorKind::Malformed));
}

#[test]
fn a_pack_that_promises_too_much_is_not_begun() {
    let many = b"PACK\0\0\0\x02\xff\xff\xff\xff";
    assert_eq!(receive_bytes(many).map_err(|error| error.kind), Err(ErrorKind::TooLarge));
    // One blob of 2^60 bytes.
    let huge = b"PACK\0\0\0\x02\0\0\0\x01\xb0\x80\x80\x80\x80\x80\x80\x80\x10";
    assert_eq!(receive_bytes(huge).map_err(|error| error.kind), Err(ErrorKind::TooLarge));
}

/// Whatever the bytes are: no panic, and an answer soon. `FUZZ_SECONDS`: how long to try, 2 when left out.
#[test]
fn no_pack_of_a_server_makes_the_reader_fail() {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let (packs, began) = (real_packs(), Instant::now());
    for seed in 1_u64.. {
        if began.elapsed() > Duration::from_secs(seconds) {
            break;
        }
        let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let pack = changed(&packs[numbers.next(packs.len())], &mut numbers);
        let since = Instant::now();
        let received = std::panic::catch_unwind(|| receive_bytes(&pack));
        assert!(received.is_ok(), "the pack of seed {seed} panics");
        assert!(
            since.elapsed() < Duration::from_secs(10),
            "the pack of seed {seed} takes {:?}",
            since.elapsed()
        );
    }
}
