use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rstest::rstest;

use super::*;

fn authority() -> String {
    let mut params = CertificateParams::new(Vec::new()).expect("params should be valid");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key should be made");
    CertifiedIssuer::self_signed(params, key).expect("an authority should be made").pem()
}

fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn refusal(data: &BTreeMap<String, String>) -> Option<String> {
    AuthConfig::parse(data).err().map(|error| error.to_string())
}

#[test]
fn without_any_authority_nobody_is_trusted() {
    let config = AuthConfig::parse(&BTreeMap::new()).expect("an empty ConfigMap is readable");
    assert_eq!(format!("{config:?}"), "AuthConfig { front_proxy: false, client_ca: false }");
}

#[test]
fn one_authority_for_clients_and_front_proxy_needs_allowed_names() {
    let (shared, other) = (authority(), authority());
    let bundle = format!("{other}{shared}");
    let open = [("client-ca-file", bundle.as_str()), ("requestheader-client-ca-file", shared.as_str())];
    let refused = refusal(&data(&open)).expect("it should be refused");
    assert!(refused.contains("every client certificate could name any user"), "{refused}");
    let named = [open[0], open[1], ("requestheader-allowed-names", r#"["front-proxy-client"]"#)];
    assert_eq!(refusal(&data(&named)), None);
}

#[rstest]
#[case::certificates("client-ca-file", "not PEM", "expected certificates in PEM")]
#[case::empty("requestheader-client-ca-file", "", "expected certificates in PEM")]
#[case::names("requestheader-allowed-names", "front-proxy-client", "expected a JSON array of strings")]
fn unreadable_key_is_named(#[case] key: &str, #[case] value: &str, #[case] expectation: &str) {
    assert_eq!(
        refusal(&data(&[(key, value)])),
        Some(format!(
            "failed to read {key} of ConfigMap kube-system/extension-apiserver-authentication: {expectation}"
        ))
    );
}
