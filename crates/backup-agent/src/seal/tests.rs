use age::secrecy::ExposeSecret as _;
use futures::AsyncReadExt as _;
use rstest::rstest;

use super::*;

fn written(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), text).expect("is written");
    file
}

fn pair() -> (Recipient, Identity) {
    let identity = x25519::Identity::generate();
    let recipient = written(&format!("# the backup key\n{}\n", identity.to_public()));
    let secret = written(&format!("{}\n", identity.to_string().expose_secret()));
    let recipient = Recipient::read(recipient.path()).expect("is a recipient");
    (recipient, Identity::read(secret.path()).expect("is an identity"))
}

#[rstest]
#[case::nothing(0)]
#[case::less_than_a_piece(1000)]
#[case::a_piece(65536)]
#[case::some_pieces(300_000)]
#[tokio::test]
async fn what_was_sealed_is_opened_by_its_identity_alone(#[case] length: usize) {
    let (recipient, identity) = pair();
    let data: Vec<u8> = (0..length).map(|number| u8::try_from(number % 251).expect("is small")).collect();
    let mut sealer = Sealer::new(Some(&recipient)).expect("seals");
    let mut sealed = Vec::new();
    for piece in data.chunks(777) {
        sealed.extend(sealer.seal(piece).expect("seals"));
    }
    sealed.extend(sealer.finish().expect("ends"));
    let mut opened = Vec::new();
    let plain = identity.open(sealed.as_slice()).await.expect("is opened");
    std::pin::pin!(plain).read_to_end(&mut opened).await.expect("is read");
    assert!(opened == data);
    assert!(identity.fits(&recipient.encryption()));

    let (_, other) = pair();
    assert!(!other.fits(&recipient.encryption()));
    assert!(other.open(sealed.as_slice()).await.is_err());

    // A changed or missing byte at the end is found while reading.
    for broken in [&sealed[..sealed.len() - 1], &[&sealed[..sealed.len() - 1], b"x"].concat()] {
        let plain = identity.open(broken).await.expect("the beginning is whole");
        assert!(std::pin::pin!(plain).read_to_end(&mut Vec::new()).await.is_err());
    }
}

#[rstest]
#[case::empty("", "no keys")]
#[case::word("age1xyz", "expected one age X25519 recipient")]
#[case::two("age1x\nage1y\n", "several keys")]
#[case::secret("AGE-SECRET-KEY-1QQ", "public key")]
fn other_texts_are_no_recipient(#[case] text: &str, #[case] expected: &str) {
    let file = written(text);
    let failure = Recipient::read(file.path()).err().expect("is refused");
    assert_eq!(failure.reason, Reason::EncryptionKeyInvalid);
    assert!(failure.message.contains(expected), "{}", failure.message);
    assert!(!failure.message.contains("1QQ"), "the key is not repeated");
}
