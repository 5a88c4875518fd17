use std::pin::pin;
use std::task::Poll;

use futures::FutureExt as _;
use sqlx::{Connection as _, Executor as _};
use test_support::postgres::TestDatabase;

use super::*;
use crate::args::UpTo;
use crate::error::Error;
use crate::schema::migrate;

const APPLICATION: &str = "the pool under test";

/// A pool of one connection on a database with the engine's schema.
async fn open_one(database: &TestDatabase) -> Database {
    let mut session = PgConnection::connect_with(&database.options()).await.expect("should connect");
    let order = migrate::Order {
        to: crate::release::version().parse().expect("should be a version"),
        up_to: UpTo::All,
        approve_breaking: false,
        lock_timeout: Duration::from_secs(30),
        claim: None,
    };
    migrate::run(&mut session, &order).await.expect("should migrate");
    Database::open(&database.options().application_name(APPLICATION), 1, Terms::default())
        .expect("should open")
}

fn tenant(id: &str) -> TenantScope {
    TenantScope::any_epoch(TenantId::parse(id).expect("should be a tenant's id"))
}

fn of_epoch(id: &str, epoch: &str) -> TenantScope {
    TenantScope::of_epoch(TenantId::parse(id).expect("should be a tenant's id"), epoch).expect("is an epoch")
}

fn is_unavailable(error: &Error) -> bool {
    matches!(error, Error::Database(error) if Error::is_unavailable(error))
}

/// The tenant whose rows the next transaction sees, read from Postgres.
async fn next_transaction(database: &Database, id: &str) -> String {
    let mut tx = database.tenant(&tenant(id)).await.expect("should begin");
    let seen = sqlx::query_scalar("SELECT current_setting('workflow.tenant_id')")
        .fetch_one(tx.connection())
        .await
        .expect("should select");
    tx.commit().await.expect("should commit");
    seen
}

/// Waits until the pool's only session, if it has one, is in no transaction.
async fn await_idle(watcher: &mut PgConnection, after: &str) {
    for _ in 0..200 {
        let states: Vec<Option<String>> = sqlx::query_scalar(
            "SELECT state FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()",
        )
        .bind(APPLICATION)
        .fetch_all(&mut *watcher)
        .await
        .expect("should select");
        if states.iter().all(|state| state.as_deref() == Some("idle")) && states.len() <= 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the pool's session stays in a transaction after {after}");
}

/// Polls a future at most `times` times, then drops it. `None` = it had not ended.
async fn poll_times<T>(future: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut future = pin!(future);
    let mut polled = 0;
    std::future::poll_fn(|context| {
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if polled >= times => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test]
async fn a_lock_timeout_fails_only_the_transaction_that_waited() {
    let postgres = test_support::require_postgres!();
    let test_database = postgres.fresh_database().await;
    let database = open_one(&test_database).await;
    let mut holder = PgConnection::connect_with(&test_database.options()).await.expect("should connect");
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(lock_key(&tenant("acme")))
        .execute(&mut holder)
        .await
        .expect("should lock");
    let refused = database.tenant_shared(&tenant("acme")).await.expect_err("another session holds the lock");
    assert!(is_unavailable(&refused), "{refused}");
    for _ in 0..3 {
        assert_eq!(next_transaction(&database, "globex").await, "globex");
    }
    await_idle(&mut holder, "a lock timeout").await;
}

#[tokio::test]
async fn dropping_a_begin_at_any_point_leaves_no_open_transaction() {
    let postgres = test_support::require_postgres!();
    let test_database = postgres.fresh_database().await;
    let database = open_one(&test_database).await;
    let mut watcher = PgConnection::connect_with(&test_database.options()).await.expect("should connect");
    let acme = tenant("acme");
    // The first rounds need a new connection, later ones have one in the pool.
    for times in 1..40 {
        let begun = poll_times(database.tenant(&acme), times).await;
        drop(begun);
        await_idle(&mut watcher, &format!("a begin of {times} polls")).await;
        assert_eq!(next_transaction(&database, "globex").await, "globex", "after {times} polls");
    }
    for micros in (0..3_000).step_by(60) {
        for kind in 0..4 {
            let limit = Duration::from_micros(micros);
            let after = format!("kind {kind} was dropped after {micros} µs");
            match kind {
                0 => drop(tokio::time::timeout(limit, database.tenant_shared(&acme)).await),
                1 => drop(tokio::time::timeout(limit, database.tenant_exclusive(&acme)).await),
                2 => drop(tokio::time::timeout(limit, database.monitor()).await),
                _ => drop(tokio::time::timeout(limit, database.cluster()).await),
            }
            assert_eq!(next_transaction(&database, "globex").await, "globex", "{after}");
            await_idle(&mut watcher, &after).await;
        }
    }
}

#[tokio::test]
async fn dropping_a_transaction_at_any_point_leaves_no_open_transaction() {
    let postgres = test_support::require_postgres!();
    let test_database = postgres.fresh_database().await;
    let database = open_one(&test_database).await;
    let mut watcher = PgConnection::connect_with(&test_database.options()).await.expect("should connect");
    let work = async |fails: bool| {
        let mut tx = database.tenant(&tenant("acme")).await?;
        sqlx::query("SELECT pg_sleep(0.001) WHERE $1").bind(true).execute(tx.connection()).await?;
        if fails {
            sqlx::query("SELECT 1 / $1").bind(0).execute(tx.connection()).await?;
        }
        tx.commit().await.map_err(Error::from)
    };
    for times in 1..30 {
        for fails in [false, true] {
            let _ = poll_times(work(fails), times).await;
            let after = format!("work of {times} polls (failing: {fails})");
            assert_eq!(next_transaction(&database, "globex").await, "globex", "{after}");
            await_idle(&mut watcher, &after).await;
        }
    }
    // A panic drops the transaction too.
    let panicking = async {
        let _tx = database.tenant(&tenant("acme")).await.expect("should begin");
        panic!("the work panics");
    };
    assert!(std::panic::AssertUnwindSafe(panicking).catch_unwind().await.is_err());
    assert_eq!(next_transaction(&database, "globex").await, "globex");
    await_idle(&mut watcher, "a panic").await;
}

#[tokio::test]
async fn a_commit_that_fails_leaves_no_transaction() {
    let postgres = test_support::require_postgres!();
    let test_database = postgres.fresh_database().await;
    let database = open_one(&test_database).await;
    let mut watcher = PgConnection::connect_with(&test_database.options()).await.expect("should connect");
    watcher
        .execute("CREATE TABLE public.strict (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        .await
        .expect("should create");
    let mut tx = database.tenant(&tenant("acme")).await.expect("should begin");
    sqlx::query("INSERT INTO public.strict VALUES (1), (1)")
        .execute(tx.connection())
        .await
        .expect("is checked at the commit");
    let refused = tx.commit().await.expect_err("the rows are not unique");
    assert!(matches!(&refused, sqlx::Error::Database(error) if error.code().as_deref() == Some("23505")));
    assert_eq!(next_transaction(&database, "globex").await, "globex");
    await_idle(&mut watcher, "a failed commit").await;

    // Postgres answers a COMMIT after a failed statement without an error, and rolls back.
    let mut tx = database.tenant(&tenant("acme")).await.expect("should begin");
    sqlx::query("SELECT 1 / $1").bind(0).execute(tx.connection()).await.expect_err("cannot be divided");
    tx.commit().await.expect_err("nothing was kept");
    assert_eq!(next_transaction(&database, "globex").await, "globex");
}

#[tokio::test]
async fn listening_for_wakeups_uses_no_connection_of_requests() {
    let postgres = test_support::require_postgres!();
    let test_database = postgres.fresh_database().await;
    let database = open_one(&test_database).await;
    let mut listener = database.listener().await.expect("should connect");
    listener.listen("workflow_jobs").await.expect("should listen");
    assert_eq!(next_transaction(&database, "globex").await, "globex");
    for times in 1..12 {
        let reported = ["a payload".to_owned()];
        let _ = poll_times(database.notify("workflow_jobs", &reported), times).await;
        assert_eq!(next_transaction(&database, "globex").await, "globex", "after {times} polls");
    }
    database.notify("workflow_jobs", &["the last one".to_owned()]).await.expect("should notify");
    while listener.recv().await.expect("should hear").payload() != "the last one" {}
    // After a failover old connections never answer, also the listener's.
    database.renew();
    let ended = async { while listener.recv().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the listener should end");
}

#[tokio::test]
async fn transactions_have_another_history_after_the_database_was_restored() {
    let postgres = test_support::require_postgres!();
    let test_database = postgres.fresh_database().await;
    let database = open_one(&test_database).await;
    let acme = tenant("acme");
    let mut owner = PgConnection::connect_with(&test_database.options()).await.expect("should connect");
    let begin = async || database.tenant(&acme).await.map(|tx| tx.history().clone());
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE application_name = 'the pool under test' AND datname = current_database()";

    let first = begin().await.expect("should begin");
    assert_eq!(database.history().as_ref(), Some(&first));
    // A broken connection alone does not change the history.
    owner.execute(terminate).await.expect("should terminate");
    assert_eq!(begin().await.expect("should begin"), first);

    // Restoring a dump into the same database creates the sequence anew.
    let restored =
        "DROP SEQUENCE workflow.key_block; CREATE SEQUENCE workflow.key_block AS bigint MINVALUE 1;";
    owner.execute(restored).await.expect("should restore");
    owner.execute(terminate).await.expect("should terminate");
    let second = begin().await.expect("should begin");
    assert_ne!(second, first);
    assert_eq!(database.history().as_ref(), Some(&second));

    // A restored database may lack row level security, so it is checked again.
    owner.execute("ALTER TABLE workflow.job NO FORCE ROW LEVEL SECURITY").await.expect("should alter");
    owner.execute(restored).await.expect("should restore");
    owner.execute(terminate).await.expect("should terminate");
    let refused = begin().await.expect_err("the table does not force row level security");
    assert!(is_unavailable(&refused), "{refused}");
    let reason = database.refusal().expect("should say why");
    assert!(reason.contains("table job does not force"), "{reason}");
    owner.execute("ALTER TABLE workflow.job FORCE ROW LEVEL SECURITY").await.expect("should alter");
    let third = begin().await.expect("should begin");
    assert!(third != first && third != second);
    assert_eq!(database.refusal(), None);

    // Server, database, sequence and timeline. A provider may not allow reading the timeline.
    assert_eq!(format!("{third:?}").matches('/').count(), 3, "{third:?}");
    let superuser = postgres.superuser().database(&test_database.name);
    let mut superuser = PgConnection::connect_with(&superuser).await.expect("should connect");
    superuser.execute("REVOKE EXECUTE ON FUNCTION pg_walfile_name FROM PUBLIC").await.expect("should revoke");
    owner.execute(terminate).await.expect("should terminate");
    let without = begin().await.expect("should begin");
    assert!(format!("{third:?}").starts_with(format!("{without:?}").trim_end_matches("\")")), "{without:?}");
}

/// For both kinds of connection: the single ones of checks and migrations, and those of the pools.
#[tokio::test]
async fn an_unverified_server_gets_no_password_in_clear_text() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    const PASSWORD: &str = "correct horse battery";
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("should listen");
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(listener.local_addr().expect("should have a port").port())
        .username("engine")
        .password(PASSWORD);
    let heard = Arc::<std::sync::Mutex<Vec<u8>>>::default();
    let record = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let record = Arc::clone(&record);
            tokio::spawn(async move {
                let _ = socket.read_exact(&mut [0; 8]).await;
                let _ = socket.write_all(b"N").await;
                let _ = socket.read(&mut [0; 1024]).await;
                let _ = socket.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]).await;
                let mut answer = Vec::new();
                let _ = socket.read_to_end(&mut answer).await;
                record.lock().unwrap_or_else(PoisonError::into_inner).extend(answer);
            });
        }
    });
    let Err(super::Error::Reach(refused)) = connect(&options).await else { panic!("should be refused") };
    assert!(describe(&refused).contains("got none"), "{}", describe(&refused));
    let database = Database::open(&options, 1, Terms::default()).expect("should open");
    let refused = database.cluster().await.expect_err("should be refused");
    assert!(describe(&refused).contains("got none"), "{}", describe(&refused));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(*heard.lock().unwrap_or_else(PoisonError::into_inner), b"");
}

#[tokio::test]
async fn a_transaction_of_an_epoch_begins_in_that_epoch_only_and_keeps_it_until_its_end() {
    let postgres = test_support::require_postgres!();
    let test_database = postgres.fresh_database().await;
    let database = open_one(&test_database).await;
    let mut tx = database.tenant_exclusive(&tenant("acme")).await.expect("should begin");
    sqlx::query(
        "INSERT INTO workflow.tenant (tenant_id, display_name, max_active_instances, max_jobs_per_minute,
                                      max_storage_bytes, suspended, owner, owner_uid, generation)
         VALUES ('acme', 'ACME', 0, 0, 0, false, 'the-owner', 'uid-1', 1)",
    )
    .execute(tx.connection())
    .await
    .expect("should insert");
    tx.commit().await.expect("should commit");

    for scope in [
        of_epoch("acme", "uid-2"),
        of_epoch("acme", ""),
        of_epoch("nowhere", "uid-1"),
        of_epoch("nowhere", ""),
    ] {
        for refused in [
            database.tenant(&scope).await,
            database.tenant_shared(&scope).await,
            database.tenant_exclusive(&scope).await,
        ] {
            assert!(matches!(refused, Err(Error::FormerEpoch(_))), "{scope:?}: {refused:?}");
        }
        assert_eq!(next_transaction(&database, "globex").await, "globex");
    }
    let mut successor = PgConnection::connect_with(&test_database.options()).await.expect("should connect");
    let mut may_change_epoch = async || -> bool {
        sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(lock_key(&tenant("acme")))
            .fetch_one(&mut successor)
            .await
            .expect("should select")
    };
    let tx = database.tenant(&of_epoch("acme", "uid-1")).await.expect("should begin");
    assert!(!may_change_epoch().await, "the epoch must not change while a transaction of it is open");
    tx.commit().await.expect("should commit");
    assert!(may_change_epoch().await);

    // A transaction that waited for the lock checks the epoch after it got the lock.
    for statement in
        ["BEGIN", "SET LOCAL workflow.tenant_id = 'acme'", "UPDATE workflow.tenant SET owner_uid = 'uid-2'"]
    {
        successor.execute(statement).await.expect("should run");
    }
    let (former, succeed) = (of_epoch("acme", "uid-1"), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        successor.execute("COMMIT; SELECT pg_advisory_unlock_all()").await.expect("should commit");
    });
    let (refused, ()) = tokio::join!(database.tenant(&former), succeed);
    assert!(matches!(refused, Err(Error::FormerEpoch(_))), "{refused:?}");
}
