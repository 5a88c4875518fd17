//! Connections of callers without a token, however many, do not block known callers.

use std::time::Duration;

use engine_api::proto::GetInfoRequest;
use test_support::wait::eventually;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::support::{Caller, Engine, World, database};

/// Limits of connections without a token, and of one address.
const UNAUTHENTICATED: usize = 256;
const PER_ADDRESS: usize = 512;

/// Opens connections that send nothing.
async fn open(port: u16, count: usize) -> Vec<TcpStream> {
    let mut silent = Vec::with_capacity(count);
    for _ in 0..count {
        silent.push(TcpStream::connect(("127.0.0.1", port)).await.expect("should connect"));
    }
    silent
}

/// Number of connections that the engine has closed.
async fn count_closed(silent: &mut [TcpStream]) -> usize {
    let mut closed = 0;
    for stream in silent {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_millis(1), stream.read(&mut byte)).await;
        closed += usize::from(matches!(read, Ok(Ok(0) | Err(_))));
    }
    closed
}

async fn metric(engine: &Engine, name: &str) -> Option<i64> {
    let (_, text) = engine.admin_get("/metrics").await.expect("should answer");
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

async fn is_served(caller: &Caller) {
    let call = caller.cluster().get_info(GetInfoRequest {}).await;
    call.expect("a known caller should be served");
}

#[tokio::test]
async fn silent_connections_are_closed_for_a_known_caller() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let early = engine.monitor();
    is_served(&early).await;
    let mut silent = open(engine.api, UNAUTHENTICATED + 100).await;
    eventually("the oldest are closed", Duration::from_secs(5), async || {
        metric(&engine, "workflow_engine_refused_connections_total{reason=\"unauthenticated\"}")
            .await
            .filter(|refused| *refused >= 100)
    })
    .await;
    assert_eq!(count_closed(&mut silent[..100]).await, 100);
    // A caller from before, and a new one.
    is_served(&early).await;
    let late = engine.monitor();
    is_served(&late).await;
    let known = metric(&engine, "workflow_engine_client_connections{state=\"authenticated\"}").await;
    assert_eq!(known, Some(2));
}

#[tokio::test]
async fn connections_of_one_address_are_limited_and_known_ones_stay() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let mut callers = Vec::new();
    // Known connections are not closed for others, so they use up the address's limit.
    for _ in 0..PER_ADDRESS {
        let caller = engine.monitor();
        is_served(&caller).await;
        callers.push(caller);
    }
    let mut beyond = open(engine.api, 10).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(count_closed(&mut beyond).await, 10);
    is_served(&callers[0]).await;
    callers.truncate(1);
    eventually("there is room again", Duration::from_secs(10), async || {
        engine.monitor().cluster().get_info(GetInfoRequest {}).await
    })
    .await;
}

#[tokio::test]
async fn probes_are_answered_despite_many_silent_connections() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let mut silent = open(engine.admin, 200).await;
    assert_eq!(engine.admin_get("/livez").await.map(|answer| answer.0), Some(200));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(count_closed(&mut silent).await >= 136);
}
