use test_support::certificates::TestCa;
use test_support::git_server::GitServer;

use super::*;

fn in_a_minute() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

/// DNS that gives another address a moment later (rebinding) is never asked a second time.
#[tokio::test(flavor = "multi_thread")]
async fn the_address_that_was_checked_is_the_one_that_is_called() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = TestCa::new("authority");
    let server = GitServer::start_with(&authority.server(&["name.invalid"]), authority.pem()).await;
    let endpoint = Endpoint { host: "name.invalid".to_owned(), addresses: vec![server.address()] };
    let trust = TrustedCertificates::only(server.authority().as_bytes()).expect("an authority");
    let client = Client::new(&endpoint, &trust, in_a_minute()).expect("a client");
    // No DNS has this name.
    let url = Url::parse(&format!("https://name.invalid:{}/x", server.address().port())).expect("a URL");
    let response = client.send(Method::GET, url, HeaderMap::new(), Vec::new()).await.expect("an answer");
    assert_eq!(response.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_address_in_the_url_is_checked_like_any_other() {
    for text in
        ["https://127.0.0.1/x", "https://[::1]/x", "https://2130706433/x", "https://[::ffff:10.0.0.1]/x"]
    {
        let url = Url::parse(text).expect("a URL");
        let refused = Endpoint::resolve(&url, &AddressPolicy::default(), in_a_minute()).await;
        assert_eq!(refused.map_err(|error| error.kind), Err(ErrorKind::AddressRefused), "{text}");
    }
}

#[tokio::test]
async fn names_of_this_machine_are_refused() {
    let url = Url::parse("https://localhost/x").expect("a URL");
    let refused = Endpoint::resolve(&url, &AddressPolicy::default(), in_a_minute()).await;
    assert_eq!(refused.map_err(|error| error.kind), Err(ErrorKind::AddressRefused));
    let url = Url::parse("https://name.invalid/x").expect("a URL");
    let unknown = Endpoint::resolve(&url, &AddressPolicy::default(), in_a_minute()).await;
    assert_eq!(unknown.map_err(|error| error.kind), Err(ErrorKind::Unreachable));
}
