use std::time::Duration;

use engine_api::proto::{ActivateJobsRequest, Job, StreamActivatedJobsRequest, StreamActivatedJobsResponse};
use serde_json::json;
use sqlx::{ConnectOptions as _, Executor as _};
use test_support::wait::eventually;
use tonic::{Code, Streaming};

use crate::models::one_task;
use crate::support::{Caller, World, activation, database};

fn request(max_in_flight: i32) -> StreamActivatedJobsRequest {
    StreamActivatedJobsRequest {
        tenant_id: "_default".to_owned(),
        job_types: vec!["charge".to_owned()],
        worker: "tester".to_owned(),
        max_in_flight,
        lease: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
    }
}

async fn open(caller: &Caller, max_in_flight: i32) -> Streaming<StreamActivatedJobsResponse> {
    caller.jobs().stream_activated_jobs(request(max_in_flight)).await.expect("should open").into_inner()
}

/// Jobs that are received within the time.
async fn received(stream: &mut Streaming<StreamActivatedJobsResponse>, time: Duration) -> Vec<Job> {
    let mut jobs = Vec::new();
    let _ = tokio::time::timeout(time, async {
        while let Ok(Some(message)) = stream.message().await {
            jobs.extend(message.jobs);
        }
    })
    .await;
    jobs
}

#[tokio::test]
async fn a_stream_never_holds_more_jobs_than_its_worker_asked_for() {
    let world = World::new(database!());
    let (one, two) = (world.serve("engine-0").await, world.serve("engine-1").await);
    let caller = one.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    for _ in 0..10 {
        caller.start("_default", "order", &json!({})).await;
    }
    let mut stream = open(&one.worker("_default"), 3).await;
    let first = received(&mut stream, Duration::from_millis(1500)).await;
    assert_eq!(first.len(), 3);
    // A job finished on this node makes room at once; one finished on another node is found by the next poll.
    caller.complete(&first[0], &json!({})).await;
    let more = received(&mut stream, Duration::from_millis(500)).await;
    assert_eq!(more.len(), 1);
    two.controller().complete(&first[1], &json!({})).await;
    let more = received(&mut stream, Duration::from_millis(2500)).await;
    assert_eq!(more.len(), 1);
}

#[tokio::test]
async fn new_jobs_are_sent_at_once_also_those_of_another_replica() {
    let world = World::new(database!());
    let (one, two) = (world.serve("engine-0").await, world.serve("engine-1").await);
    one.controller().deploy("_default", &one_task("order", "charge")).await;
    let mut stream = open(&one.worker("_default"), 10).await;
    for starter in [one.controller(), two.controller()] {
        starter.start("_default", "order", &json!({})).await;
        let message = tokio::time::timeout(Duration::from_secs(3), stream.message()).await;
        let jobs = message.expect("should come soon").expect("should not fail").expect("should not end").jobs;
        assert_eq!(jobs.len(), 1);
    }
}

#[tokio::test]
async fn jobs_that_a_disconnected_client_did_not_receive_are_released_at_once() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    // The client opens streams and disconnects, while jobs are created. Each job was either received by the client (its
    // lease is held), or can be activated.
    let mut seen = 0;
    for _ in 0..10 {
        let mut stream = open(&engine.worker("_default"), 1).await;
        for _ in 0..3 {
            caller.start("_default", "order", &json!({})).await;
        }
        seen += received(&mut stream, Duration::from_millis(30)).await.len();
        drop(stream);
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let waiting = caller.activate("_default", "charge", 1000).await.len();
    // A job that reached the client's transport but not its code counts as received: at most one job per stream.
    assert!(seen + waiting <= 30 && waiting >= 20, "{seen} seen, {waiting} waiting");
}

#[tokio::test]
async fn a_silent_stream_sends_heartbeats() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    engine.controller().deploy("_default", &one_task("order", "charge")).await;
    let mut stream = open(&engine.worker("_default"), 5).await;
    let message = tokio::time::timeout(Duration::from_secs(10), stream.message()).await;
    let heartbeat = message.expect("should not be silent").expect("should not fail").expect("should not end");
    assert_eq!(heartbeat.jobs, []);
}

#[tokio::test]
async fn a_node_that_stops_ends_its_streams_with_unavailable() {
    let world = World::new(database!());
    let mut engine = world.serve("engine-0").await;
    engine.controller().deploy("_default", &one_task("order", "charge")).await;
    let mut stream = open(&engine.worker("_default"), 5).await;
    let ended = tokio::spawn(async move {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                other => return other,
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = std::time::Instant::now();
    let status = tokio::task::spawn_blocking(move || engine.terminate()).await.expect("should end");
    assert!(status.success(), "{status}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let refusal = ended.await.expect("should end").expect_err("should say why");
    assert_eq!(refusal.code(), Code::Unavailable, "{}", refusal.message());
}

/// Makes each commit of an activation take this long, and tells when one has begun.
async fn slow_down_activations(world: &World, seconds: f32) -> sqlx::PgConnection {
    let mut owner = world.options.connect().await.expect("should connect");
    let trigger = format!(
        "CREATE FUNCTION workflow.slow_down() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER slow_down AFTER UPDATE ON workflow.job DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
             WHEN (NEW.worker IS NOT NULL AND OLD.worker IS NULL) EXECUTE FUNCTION workflow.slow_down()"
    );
    owner.execute(sqlx::AssertSqlSafe(trigger)).await.expect("should make the trigger");
    owner
}

async fn await_commit_of_activation(owner: &mut sqlx::PgConnection) {
    for _ in 0..100 {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&mut *owner).await.expect("should read");
        if waiting > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no activation is being committed");
}

/// What Postgres commits although nobody waits for it any more would be held until the end of a lease that no worker has.
#[tokio::test]
async fn a_job_that_is_being_activated_when_its_node_drains_reaches_a_worker_at_once() {
    let world = World::new(database!());
    let (mut draining, other) = (world.serve("engine-0").await, world.serve("engine-1").await);
    draining.controller().deploy("_default", &one_task("order", "charge")).await;
    let mut owner = slow_down_activations(&world, 1.5).await;
    let mut stream = open(&draining.worker("_default"), 5).await;
    other.controller().start("_default", "order", &json!({})).await;
    await_commit_of_activation(&mut owner).await;
    draining.tell_to_end();
    let mut jobs = received(&mut stream, Duration::from_secs(4)).await;
    if jobs.is_empty() {
        jobs = other.worker("_default").activate("_default", "charge", 1).await;
    }
    assert_eq!(jobs.len(), 1, "its lease of a minute is nobody's");
    other.controller().complete(&jobs[0], &json!({})).await;
    let status = tokio::task::spawn_blocking(move || draining.await_end()).await.expect("should end");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_job_that_is_being_activated_when_its_worker_goes_away_reaches_another_at_once() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    engine.controller().deploy("_default", &one_task("order", "charge")).await;
    let mut owner = slow_down_activations(&world, 1.5).await;
    let stream = open(&engine.worker("_default"), 5).await;
    engine.controller().start("_default", "order", &json!({})).await;
    await_commit_of_activation(&mut owner).await;
    drop(stream);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(engine.worker("_default").activate("_default", "charge", 1).await.len(), 1);
}

/// Endpoints are updated with a delay, so connections still arrive after SIGTERM.
#[tokio::test]
async fn a_draining_node_serves_late_connections_and_activates_no_job() {
    let world = World::new(database!());
    let mut engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    caller.start("_default", "order", &json!({})).await;
    let worker = engine.worker("_default");
    let job = worker.activate("_default", "charge", 1).await.remove(0);
    let waiting = tokio::spawn({
        let worker = engine.worker("_default");
        let wait = Some(prost_types::Duration { seconds: 20, nanos: 0 });
        async move {
            let request = ActivateJobsRequest { wait, ..activation("_default", "charge", 1) };
            worker.jobs().activate_jobs(request).await.map(|answer| answer.into_inner().jobs)
        }
    });
    // The long poll must have begun: afterwards it would be refused.
    tokio::time::sleep(Duration::from_secs(1)).await;

    engine.tell_to_end();
    let (code, reason) = eventually("the node says so", Duration::from_secs(2), || async {
        Some(engine.readiness().await).filter(|(code, _)| *code == 503)
    })
    .await;
    assert_eq!((code, reason.as_str()), (503, "shutting down"));
    assert_eq!(waiting.await.expect("should end").expect("a wait ends without an error"), []);

    // The existing connection is closed. A call that was not sent because of that is repeated on a new connection.
    eventually("the job is completed", Duration::from_secs(2), async || {
        worker.try_complete(&job, &json!({})).await
    })
    .await;
    let late = engine.controller();
    late.start("_default", "order", &json!({})).await;
    let refused = engine.worker("_default").try_activate(activation("_default", "charge", 1)).await;
    assert_eq!(refused.expect_err("should be refused").code(), Code::Unavailable);

    let status = tokio::task::spawn_blocking(move || engine.await_end()).await.expect("should end");
    assert!(status.success(), "{status}");
}
