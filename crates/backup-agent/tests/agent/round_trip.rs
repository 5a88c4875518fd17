use backup_format::{Manifest, Reason};
use sqlx::{Connection as _, Executor as _, PgConnection};
use workflow_engine::args::UpTo;
use workflow_engine::schema::isolation;

use crate::support::{Kind, TENANTS, World, contents, failed, migrate, run, verified};

/// Jobs differ by their leases alone; they are compared without.
fn without_leases(rows: Vec<String>) -> Vec<String> {
    rows.into_iter().filter(|row| !(row.starts_with("job: ") && row.contains("worker-"))).collect()
}

#[tokio::test]
async fn a_restored_database_has_the_same_rows_and_nobodys_leases() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let report = world.backup(&source, "nightly").await;
    let tenants = TENANTS.len() as u64;
    assert_eq!((report.totals.jobs, report.totals.leased_jobs), (40 * tenants, 10 * tenants));
    assert_eq!((report.totals.definitions, report.totals.active_instances), (3 * tenants, 20 * tenants));
    assert_eq!((report.schema_version, report.existed, report.encrypted), (3, false, false));

    let target = world.database(Kind::PlainOwner).await;
    let restored = world.restore(&target, "nightly").await;
    assert_eq!(restored.leases_cleared, 10 * tenants);
    assert_eq!((restored.digest.as_ref(), restored.totals), (Some(&report.digest), report.totals));
    assert_eq!(restored.key_block, 4711 + (1 << 20));

    let (mut before, mut after) = (world.superuser(&source).await, world.superuser(&target).await);
    let (freed, expected): (i64, i64) = (
        sqlx::query_scalar(
            "SELECT count(*) FROM workflow.job WHERE worker IS NULL AND run_at <= now() AND lease_epoch = key % 1000000 + 1",
        )
        .fetch_one(&mut after)
        .await
        .expect("are counted"),
        sqlx::query_scalar("SELECT count(*) FROM workflow.job WHERE worker IS NOT NULL")
            .fetch_one(&mut before)
            .await
            .expect("are counted"),
    );
    assert_eq!(freed, expected);
    after.execute("DELETE FROM workflow.job WHERE run_at <= now()").await.expect("are deleted");
    assert_eq!(contents(&mut after).await, without_leases(contents(&mut before).await));

    let (node, writer, key): (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM workflow.node), (SELECT count(*) FROM workflow.writer), nextval('workflow.key_block')",
    )
    .fetch_one(&mut after)
    .await
    .expect("are read");
    assert_eq!((node, writer, key), (0, 0, restored.key_block + 1));
    let (backup, source_owner, owner): (String, String, String) =
        sqlx::query_as("SELECT backup_id, source_owner, owner FROM workflow.restored")
            .fetch_one(&mut after)
            .await
            .expect("is read");
    assert_eq!(
        (backup.as_str(), source_owner.as_str(), owner.as_str()),
        ("nightly", crate::support::OWNER, "installation-2/dr/orders")
    );

    // The engine goes on from here, and finds its walls as it left them.
    migrate(&target, UpTo::All).await;
    let mut session = PgConnection::connect_with(&target.options()).await.expect("connects");
    let violations = isolation::observe_violations(&mut session).await.expect("are read");
    assert_eq!(violations, Vec::<String>::new());
    for tenant in TENANTS {
        sqlx::query("SELECT set_config('workflow.tenant_id', $1, false)")
            .bind(tenant)
            .execute(&mut session)
            .await
            .expect("is set");
        let foreign = isolation::observe_foreign_rows(&mut session, tenant).await.expect("are read");
        assert_eq!(foreign, Vec::<String>::new());
    }

    // Run again, as the Job's pod may be: the same report, and no second restore.
    assert_eq!(world.restore(&target, "nightly").await, restored);
}

/// What the objects of the source's namespace managed goes to those of the same names beside the new cluster.
#[tokio::test]
async fn what_the_namespace_of_the_source_managed_is_managed_from_the_new_ones() {
    const OWNERS: &str = "SELECT owner, count(*) FROM workflow.process GROUP BY 1 UNION ALL
        SELECT owner, count(*) FROM workflow.tenant GROUP BY 1 ORDER BY 1";
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    world
        .superuser(&source)
        .await
        .execute(
            "UPDATE workflow.process SET owner = 'WorkflowProcess/prod/order' WHERE process_id = 'order-2';
             UPDATE workflow.process SET owner = '' WHERE process_id = 'order-3';
             UPDATE workflow.tenant SET owner = 'WorkflowTenant/prod/main'",
        )
        .await
        .expect("are updated");
    world.backup(&source, "owned").await;
    let target = world.database(Kind::PlainOwner).await;
    world.restore(&target, "owned").await;
    let found: Vec<(String, i64)> =
        sqlx::query_as(OWNERS).fetch_all(&mut world.superuser(&target).await).await.expect("are read");
    let tenants = i64::try_from(TENANTS.len()).expect("are few");
    let expected =
        ["", "WorkflowProcess/dr/order", "WorkflowProcess/elsewhere/order", "WorkflowTenant/dr/main"]
            .map(|owner| (owner.to_owned(), tenants));
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_schema_between_two_engine_versions_is_restored_as_it_was() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::CreatesRoles, UpTo::Expand).await;
    let report = world.backup(&source, "b1").await;
    assert_eq!(report.schema_version, 2);
    let target = world.database(Kind::CreatesRoles).await;
    assert_eq!(world.restore(&target, "b1").await.schema_version, 2);
    // The contracting step, roles and privileges come with the engine's own migration, which the restore asks for.
    let mut session = world.superuser(&target).await;
    let complete: Option<String> = sqlx::query_scalar("SELECT engine_version FROM workflow.schema_state")
        .fetch_one(&mut session)
        .await
        .expect("is read");
    assert_eq!(complete, None);
    migrate(&target, UpTo::All).await;
    let newest: i64 = sqlx::query_scalar("SELECT max(version) FROM workflow.schema_migration")
        .fetch_one(&mut session)
        .await
        .expect("is read");
    assert_eq!(newest, 3);
}

#[tokio::test]
async fn a_backup_is_found_again_and_verified() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let report = world.backup(&source, "b1").await;
    // The Job's pod was started again after the backup was complete.
    let again = world.backup(&source, "b1").await;
    assert!(again.existed);
    assert_eq!(
        (again.digest, again.snapshot_at, again.size_bytes),
        (report.digest.clone(), report.snapshot_at, report.size_bytes)
    );

    let mut arguments = vec!["verify".into()];
    arguments.extend(world.of_folder("b1"));
    let verify = verified(run(arguments).await);
    assert!(verify.rows_counted);
    assert_eq!((verify.digest, verify.size_bytes), (report.digest, report.size_bytes));

    let manifest = std::fs::read(world.backups().join("b1/manifest.json")).expect("is read");
    let manifest = Manifest::parse(&manifest, &"b1".parse().expect("is an id")).expect("is a manifest");
    let walled = [
        "incident",
        "instance",
        "job",
        "job_type",
        "process",
        "process_definition",
        "request_log",
        "tenant",
        "tenant_counter",
    ];
    for table in walled {
        for tenant in TENANTS {
            let line = manifest
                .rows
                .iter()
                .find(|line| line.table == table && line.tenant.as_deref() == Some(tenant));
            assert!(line.is_some_and(|line| line.rows > 0), "{table} of {tenant}");
        }
    }
    assert!(!manifest.rows.iter().any(|line| line.table == "node" || line.table == "writer"));

    let foreign = world.backup_arguments(&source, world.of_folder("b1"));
    let foreign = foreign.into_iter().map(|argument| {
        if argument == crate::support::OWNER { "installation-9/x/y".into() } else { argument }
    });
    let refused = failed(run(foreign.collect()).await, Reason::BackupIdTaken);
    assert!(refused.message.contains(crate::support::OWNER), "{}", refused.message);
}
