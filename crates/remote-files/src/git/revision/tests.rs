use gix_hash::ObjectId;
use gix_protocol::handshake::Ref;
use rstest::rstest;

use super::Revision;
use crate::ErrorKind;

const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";

fn id(text: &str) -> ObjectId {
    ObjectId::from_hex(text.as_bytes()).expect("an id")
}

fn direct(name: &str, object: &str) -> Ref {
    Ref::Direct { full_ref_name: name.into(), object: id(object) }
}

#[rstest]
#[case::branch("main", Revision::Name("main".to_owned()))]
#[case::nested("release/1.2", Revision::Name("release/1.2".to_owned()))]
#[case::whole("refs/tags/v1", Revision::Ref("refs/tags/v1".to_owned()))]
#[case::commit(ONE, Revision::Commit(id(ONE)))]
#[case::short_commit("1111111", Revision::Name("1111111".to_owned()))]
fn revisions(#[case] text: &str, #[case] expected: Revision) {
    assert_eq!(Revision::parse(text), Ok(expected));
}

#[test]
fn a_commit_in_capitals_is_the_same_commit() {
    let text = "ABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCD";
    assert_eq!(Revision::parse(text), Ok(Revision::Commit(id(&text.to_lowercase()))));
}

#[rstest]
#[case::empty("")]
#[case::option("-oProxyCommand=date")]
#[case::option_inside_a_ref("--upload-pack=x")]
#[case::upstream("main@{u}")]
#[case::path("HEAD:secret")]
#[case::parent("main^")]
#[case::ancestor("main~1")]
#[case::refspec("refs/heads/*")]
#[case::range("main..other")]
#[case::line("main\nother")]
#[case::nul("main\0")]
#[case::blank("main branch")]
#[case::other_ref("refs/pull/1/head")]
#[case::lock("main.lock")]
#[case::hidden(".main")]
#[case::slashes("a//b")]
#[case::last_slash("a/")]
#[case::letters("größe")]
fn what_is_no_name_is_refused(#[case] text: &str) {
    assert_eq!(Revision::parse(text).map_err(|error| error.kind), Err(ErrorKind::Malformed));
}

#[test]
fn a_name_is_a_branch_or_a_tag() {
    let refs = [
        direct("refs/heads/main", ONE),
        direct("refs/heads/main-2", TWO),
        Ref::Peeled { full_ref_name: "refs/tags/v1".into(), tag: id(ONE), object: id(TWO) },
        direct("refs/heads/both", ONE),
        direct("refs/tags/both", TWO),
        direct("refs/heads/same", ONE),
        direct("refs/tags/same", ONE),
    ];
    let resolve = |text: &str| Revision::parse(text).and_then(|revision| revision.resolve(&refs));
    assert_eq!(resolve("main"), Ok(id(ONE)));
    assert_eq!(resolve("v1"), Ok(id(TWO)));
    assert_eq!(resolve("same"), Ok(id(ONE)));
    assert_eq!(resolve("refs/tags/both"), Ok(id(TWO)));
    assert_eq!(resolve(TWO), Ok(id(TWO)));
    let refused = resolve("both").expect_err("ambiguous");
    assert_eq!(
        (refused.kind, refused.message.as_str()),
        (
            ErrorKind::RevisionAmbiguous,
            "the repository has refs/heads/both and refs/tags/both with different commits; write the whole name"
        )
    );
    let refused = resolve("gone").expect_err("missing");
    assert_eq!(
        (refused.kind, refused.message.as_str()),
        (ErrorKind::RevisionMissing, "the repository has no refs/heads/gone and no refs/tags/gone")
    );
}
