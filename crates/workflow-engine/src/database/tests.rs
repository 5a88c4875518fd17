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
        to: migrate::OWN_VERSION.parse().expect("should be a version"),
        up_to: UpTo::All,
        approve_breaking: false,
        lock_timeout: Duration::from_secs(30),
    };
    migrate::run(&mut session, &order).await.expect("should migrate");
    Database::open(&database.options().application_name(APPLICATION), 1, Roles::default())
        .expect("should open")
}

fn tenant(id: &str) -> TenantScope {
    TenantScope::any_epoch(TenantId::parse(id).expect("should be a tenant's id"))
}

fn in_life(id: &str, epoch: &str) -> TenantScope {
    TenantScope::of_epoch(TenantId::parse(id).expect("should be a tenant's id"), epoch).expect("is an epoch")
}

fn is_unavailable(error: &Error) -> bool {
    matches!(error, Error::Database(error) if Error::is_unavailable(error))
}

/// The tenant whose rows the next transaction sees, as Postgres has it.
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

/// Polls a future so many times, then drops it; whether it ended by then.
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
async fn a_lock_that_is_not_given_in_time_costs_only_who_waited_for_it() {
    let postgres = test_support::require_postgres!();
    let test_database = postgres.fresh_database().await;
    let database = open_one(&test_database).await;
    let mut holder = PgConnection::connect_with(&test_database.options()).await.expect("should connect");
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(lock_key(&tenant("acme")))
        .execute(&mut holder)
        .await
        .expect("should lock");
    let refused = database.tenant_shared(&tenant("acme")).await.expect_err("the lock is another's");
    assert!(is_unavailable(&refused), "{refused}");
    for _ in 0..3 {
        assert_eq!(next_transaction(&database, "globex").await, "globex");
    }
    await_idle(&mut holder, "a lock timeout").await;
}

#[tokio::test]
async fn a_beginning_that_was_given_up_at_any_point_leaves_no_transaction() {
    let postgres = test_support::require_postgres!();
    let test_database = postgres.fresh_database().await;
    let database = open_one(&test_database).await;
    let mut watcher = PgConnection::connect_with(&test_database.options()).await.expect("should connect");
    let acme = tenant("acme");
    // With and without a connection that is open already.
    for times in 1..40 {
        let begun = poll_times(database.tenant(&acme), times).await;
        drop(begun);
        await_idle(&mut watcher, &format!("a beginning of {times} polls")).await;
        assert_eq!(next_transaction(&database, "globex").await, "globex", "after {times} polls");
    }
    for micros in (0..3_000).step_by(60) {
        for kind in 0..4 {
            let limit = Duration::from_micros(micros);
            let after = format!("kind {kind} was given up after {micros} µs");
            match kind {
                0 => drop(tokio::time::timeout(limit, database.tenant_shared(&acme)).await),
                1 => drop(tokio::time::timeout(limit, database.tenant_exclusive(&acme)).await),
                2 => drop(tokio::time::timeout(limit, database.monitor()).await),
                _ => drop(tokio::time::timeout(limit, database.nobody()).await),
            }
            assert_eq!(next_transaction(&database, "globex").await, "globex", "{after}");
            await_idle(&mut watcher, &after).await;
        }
    }
}

#[tokio::test]
async fn a_transaction_that_was_given_up_at_any_point_leaves_nothing() {
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
    // A panic is a drop like any other.
    let panicking = async {
        let _tx = database.tenant(&tenant("acme")).await.expect("should begin");
        panic!("the work is wrong");
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

    // Postgres answers a COMMIT after a failed statement without an error, and keeps nothing.
    let mut tx = database.tenant(&tenant("acme")).await.expect("should begin");
    sqlx::query("SELECT 1 / $1").bind(0).execute(tx.connection()).await.expect_err("cannot be divided");
    tx.commit().await.expect_err("nothing was kept");
    assert_eq!(next_transaction(&database, "globex").await, "globex");
}

#[tokio::test]
async fn hearing_wakeups_takes_no_connection_from_requests() {
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
    // After a failover connections get no answer any more, the listener's too.
    database.renew();
    let ended = async { while listener.recv().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the listener should end");
}

#[tokio::test]
async fn transactions_tell_when_the_database_is_no_longer_the_one_that_it_was() {
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
    // A connection that breaks alone says nothing about the database.
    owner.execute(terminate).await.expect("should terminate");
    assert_eq!(begin().await.expect("should begin"), first);

    // A dump that is restored into the same database makes the sequence anew.
    let restored =
        "DROP SEQUENCE workflow.key_block; CREATE SEQUENCE workflow.key_block AS bigint MINVALUE 1;";
    owner.execute(restored).await.expect("should restore");
    owner.execute(terminate).await.expect("should terminate");
    let second = begin().await.expect("should begin");
    assert_ne!(second, first);
    assert_eq!(database.history().as_ref(), Some(&second));

    // The isolation of a database that was not checked yet may be off.
    owner.execute("ALTER TABLE workflow.job NO FORCE ROW LEVEL SECURITY").await.expect("should alter");
    owner.execute(restored).await.expect("should restore");
    owner.execute(terminate).await.expect("should terminate");
    let refused = begin().await.expect_err("the walls are down");
    assert!(is_unavailable(&refused), "{refused}");
    let reason = database.refusal().expect("should say why");
    assert!(reason.contains("table job does not force"), "{reason}");
    owner.execute("ALTER TABLE workflow.job FORCE ROW LEVEL SECURITY").await.expect("should alter");
    let third = begin().await.expect("should begin");
    assert!(third != first && third != second);
    assert_eq!(database.refusal(), None);

    // Server, database, sequence and timeline; a provider may keep the timeline to itself.
    assert_eq!(format!("{third:?}").matches('/').count(), 3, "{third:?}");
    let superuser = postgres.superuser().database(&test_database.name);
    let mut superuser = PgConnection::connect_with(&superuser).await.expect("should connect");
    superuser.execute("REVOKE EXECUTE ON FUNCTION pg_walfile_name FROM PUBLIC").await.expect("should revoke");
    owner.execute(terminate).await.expect("should terminate");
    let without = begin().await.expect("should begin");
    assert!(format!("{third:?}").starts_with(format!("{without:?}").trim_end_matches("\")")), "{without:?}");
}

/// Every way to the database: what looks at the schema, a migration, and the pool, whose connections come much later.
#[tokio::test]
async fn a_server_that_was_not_verified_gets_no_password_in_clear_text() {
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
    let database = Database::open(&options, 1, Roles::default()).expect("should open");
    let refused = database.nobody().await.expect_err("should be refused");
    assert!(describe(&refused).contains("got none"), "{}", describe(&refused));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(*heard.lock().unwrap_or_else(PoisonError::into_inner), b"");
}

#[tokio::test]
async fn a_transaction_in_a_life_of_a_tenant_begins_in_no_other_one_and_keeps_it() {
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

    for scope in
        [in_life("acme", "uid-2"), in_life("acme", ""), in_life("nowhere", "uid-1"), in_life("nowhere", "")]
    {
        for refused in [
            database.tenant(&scope).await,
            database.tenant_shared(&scope).await,
            database.tenant_exclusive(&scope).await,
        ] {
            assert!(matches!(refused, Err(Error::FormerLife(_))), "{scope:?}: {refused:?}");
        }
        assert_eq!(next_transaction(&database, "globex").await, "globex");
    }
    let mut successor = PgConnection::connect_with(&test_database.options()).await.expect("should connect");
    let mut may_change_life = async || -> bool {
        sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(lock_key(&tenant("acme")))
            .fetch_one(&mut successor)
            .await
            .expect("should select")
    };
    let tx = database.tenant(&in_life("acme", "uid-1")).await.expect("should begin");
    assert!(!may_change_life().await, "the life ends under a transaction that began in it");
    tx.commit().await.expect("should commit");
    assert!(may_change_life().await);

    // Who waited for the lock looks at the life that it finds then.
    for statement in
        ["BEGIN", "SET LOCAL workflow.tenant_id = 'acme'", "UPDATE workflow.tenant SET owner_uid = 'uid-2'"]
    {
        successor.execute(statement).await.expect("should run");
    }
    let (former, succeed) = (in_life("acme", "uid-1"), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        successor.execute("COMMIT; SELECT pg_advisory_unlock_all()").await.expect("should commit");
    });
    let (refused, ()) = tokio::join!(database.tenant(&former), succeed);
    assert!(matches!(refused, Err(Error::FormerLife(_))), "{refused:?}");
}
