use rstest::rstest;
use tokio::{net::TcpListener, time::advance};
use tonic::{
    Request, Status,
    service::{Routes, interceptor::InterceptorLayer},
    transport::{Server, server::TcpIncoming},
};

use super::{EnginePool, IDLE, MAX_CONNECTIONS};
use crate::{
    Credential, Engine, EngineAccess, EngineAddress, EngineClient, EngineTls, ErrorClass, Operation, Timeouts,
};

fn access(host: &str, token: &str) -> EngineAccess {
    let address = EngineAddress { host: host.to_owned(), port: 26500, tls: None };
    EngineAccess { address, credential: Credential::parse(token).expect("token should parse") }
}

fn pool() -> EnginePool {
    EnginePool::new(Timeouts::default())
}

fn connections(pool: &EnginePool) -> usize {
    pool.connections.lock().expect("no test should panic with the lock").len()
}

fn same(one: &EngineClient, other: &EngineClient) -> bool {
    std::sync::Arc::ptr_eq(&one.denied, &other.denied)
}

#[tokio::test]
async fn same_access_shares_a_connection() {
    let pool = pool();
    let first = pool.client(&access("a", "t")).expect("address should be valid");
    let second = pool.clone().client(&access("a", "t")).expect("address should be valid");
    let other = pool.client(&access("b", "t")).expect("address should be valid");
    assert!(same(&first, &second));
    assert!(!same(&first, &other));
    assert_eq!(connections(&pool), 2);
}

#[tokio::test]
async fn changed_credential_or_authority_replaces_the_connection() {
    let pool = pool();
    let first = pool.client(&access("a", "old")).expect("address should be valid");
    let second = pool.client(&access("a", "new")).expect("address should be valid");
    assert!(!same(&first, &second));
    let authority = rcgen::generate_simple_self_signed(["a".to_owned()]).expect("certificate should be made");
    let mut changed = access("a", "new");
    changed.address.tls = Some(EngineTls { ca_pem: authority.cert.pem(), server_name: None });
    let third = pool.client(&changed).expect("address should be valid");
    assert!(!same(&second, &third));
    assert_eq!(connections(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn idle_connection_is_dropped() {
    let pool = pool();
    let first = pool.client(&access("a", "t")).expect("address should be valid");
    advance(IDLE / 2).await;
    assert!(same(&first, &pool.client(&access("a", "t")).expect("address should be valid")));
    advance(IDLE / 2).await;
    assert!(same(&first, &pool.client(&access("a", "t")).expect("address should be valid")));
    advance(IDLE).await;
    assert!(!same(&first, &pool.client(&access("a", "t")).expect("address should be valid")));
}

#[tokio::test(start_paused = true)]
async fn oldest_connection_makes_room() {
    let pool = pool();
    let first = pool.client(&access("first", "t")).expect("address should be valid");
    for index in 1..MAX_CONNECTIONS {
        advance(std::time::Duration::from_millis(1)).await;
        pool.client(&access(&format!("engine-{index}"), "t")).expect("address should be valid");
    }
    assert_eq!(connections(&pool), MAX_CONNECTIONS);
    pool.client(&access("one-more", "t")).expect("address should be valid");
    assert_eq!(connections(&pool), MAX_CONNECTIONS);
    assert!(!same(&first, &pool.client(&access("first", "t")).expect("address should be valid")));
}

#[tokio::test]
async fn refused_credential_drops_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback should be there");
    let mut access = access("127.0.0.1", "t");
    access.address.port = listener.local_addr().expect("port should be known").port();
    let refuse = |_: Request<()>| Err::<Request<()>, _>(Status::unauthenticated("who are you?"));
    let server = Server::builder().layer(InterceptorLayer::new(refuse)).add_routes(Routes::default());
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let pool = pool();
    let client = pool.client(&access).expect("address should be valid");
    assert!(same(&client, &pool.client(&access).expect("address should be valid")));
    let error = client.info().await.expect_err("engine should refuse");
    assert_eq!(error.class(), &ErrorClass::Denied);
    assert!(!same(&client, &pool.client(&access).expect("address should be valid")));
}

#[rstest]
#[case::empty("")]
#[case::space("a b")]
#[case::path("a/b")]
#[case::user("user@a")]
#[tokio::test]
async fn address_that_is_none_is_refused(#[case] host: &str) {
    let error = pool().client(&access(host, "t")).expect_err("address should be refused");
    assert_eq!((error.class(), error.operation()), (&ErrorClass::Invalid, Operation::Connect));
    assert_eq!(error.message(), format!("engine address {host}:26500 is no host and port"));
}

#[rstest]
#[case::empty("")]
#[case::prose("not a certificate")]
#[case::broken("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
#[tokio::test]
async fn authority_that_is_none_is_refused(#[case] ca_pem: &str) {
    let mut access = access("a", "t");
    access.address.tls = Some(EngineTls { ca_pem: ca_pem.to_owned(), server_name: None });
    let error = pool().client(&access).expect_err("authority should be refused");
    assert_eq!(error.class(), &ErrorClass::Invalid);
    assert!(error.message().starts_with("certificate authority"), "{error}");
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let pool = pool();
    let access = access("a", "very-secret");
    let client = pool.client(&access).expect("address should be valid");
    let shown = format!("{pool:?} {access:?} {client:?}");
    assert!(!shown.contains("very-secret"), "{shown}");
    assert!(shown.contains("26500"), "{shown}");
}
