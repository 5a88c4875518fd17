use http::HeaderValue;
use rstest::rstest;

use super::*;

#[rstest]
#[case::bearer("Bearer abc", Some("abc"))]
#[case::any_case("bEARER abc", Some("abc"))]
#[case::spaces(" Bearer   abc ", Some("abc"))]
#[case::other_scheme("Basic abc", None)]
#[case::no_token("Bearer ", None)]
#[case::no_scheme("abc", None)]
fn bearer_token_is_found(#[case] header: &'static str, #[case] expected: Option<&str>) {
    let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_static(header))]);
    assert_eq!(bearer_token(&headers), expected);
}

#[test]
fn every_user_is_authenticated_once() {
    let identity = |groups: &[&str]| {
        Identity::new(
            "a".to_owned(),
            None,
            groups.iter().map(|group| (*group).to_owned()).collect(),
            BTreeMap::new(),
        )
    };
    assert_eq!(identity(&[]).groups, ["system:authenticated"]);
    assert_eq!(identity(&["system:authenticated", "b"]).groups, ["system:authenticated", "b"]);
    assert!(!identity(&["b"]).is_master());
    assert!(identity(&["system:masters"]).is_master());
}
