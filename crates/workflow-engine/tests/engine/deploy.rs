use std::process::Command;

use engine_api::proto::{
    DeleteProcessRequest, DeployOutcome, DeployProcessRequest, Finding, GetProcessDefinitionRequest,
    LintMode, ListProcessDefinitionsRequest, OnInstances, Owner, Severity, TenantQuotas,
    ValidateProcessRequest, deploy_process_response, get_process_definition_request::By,
};
use rstest::rstest;
use serde_json::json;
use test_support::documents::{Judged, judged};
use tonic::Code;

use crate::models::{one_task, without_task_definition};
use crate::support::{Caller, World, database, deployed, deployment, owner};

async fn outcome(caller: &Caller, request: DeployProcessRequest) -> (DeployOutcome, i32, i64) {
    let deployed = deployed(caller.try_deploy(request).await.expect("should be answered"));
    let definition = deployed.definition.clone().expect("should have a definition");
    (deployed.outcome(), definition.version, definition.key)
}

#[tokio::test]
async fn the_same_bytes_are_unchanged_and_everything_else_is_a_new_version() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let (one, two) = (one_task("order", "charge"), one_task("order", "refund"));

    let (created, version, first_key) = outcome(&caller, deployment("_default", &one)).await;
    assert_eq!((created, version), (DeployOutcome::Created, 1));
    assert_eq!(first_key >> 51, 1, "keys carry the partition");

    // 1: the same bytes again.
    assert_eq!(
        outcome(&caller, deployment("_default", &one)).await,
        (DeployOutcome::Unchanged, 1, first_key)
    );
    // 2: under another file name.
    let renamed =
        DeployProcessRequest { resource_name: "other.bpmn".to_owned(), ..deployment("_default", &one) };
    assert_eq!(outcome(&caller, renamed).await, (DeployOutcome::Unchanged, 1, first_key));
    // 3: other bytes.
    let (created, version, _) = outcome(&caller, deployment("_default", &two)).await;
    assert_eq!((created, version), (DeployOutcome::Created, 2));
    // 4: older bytes again: a rollback is a new version.
    let (created, version, third_key) = outcome(&caller, deployment("_default", &one)).await;
    assert_eq!((created, version), (DeployOutcome::Created, 3));
    assert_ne!(third_key, first_key);
    // 5: the same bytes under another version tag.
    let tagged = DeployProcessRequest { version_tag: "v4".to_owned(), ..deployment("_default", &one) };
    let (created, version, fourth_key) = outcome(&caller, tagged.clone()).await;
    assert_eq!((created, version), (DeployOutcome::Created, 4));
    assert_eq!(outcome(&caller, tagged).await, (DeployOutcome::Unchanged, 4, fourth_key));
    // 6: after a deletion.
    let delete = DeleteProcessRequest {
        request_id: String::new(),
        tenant_id: "_default".to_owned(),
        process_id: "order".to_owned(),
        owner: None,
        on_instances: OnInstances::Fail.into(),
        retain: false,
    };
    let deleted =
        caller.processes().delete_process(delete.clone()).await.expect("should delete").into_inner();
    assert_eq!((deleted.deleted, deleted.owned_by_other), (4, false));
    let deleted = caller.processes().delete_process(delete).await.expect("should be done").into_inner();
    assert_eq!((deleted.deleted, deleted.owned_by_other), (0, false));
    let (created, version, _) = outcome(&caller, deployment("_default", &one)).await;
    assert_eq!((created, version), (DeployOutcome::Created, 5));
}

#[tokio::test]
async fn concurrent_deployments_of_one_document_on_two_replicas_create_one_version() {
    let world = World::new(database!());
    let (one, two) = (world.serve("engine-0").await, world.serve("engine-1").await);
    let document = one_task("order", "charge");
    let mut deployments = tokio::task::JoinSet::new();
    for number in 0..12 {
        let caller = if number % 2 == 0 { one.controller() } else { two.controller() };
        let request = deployment("_default", &document);
        deployments.spawn(async move { outcome(&caller, request).await });
    }
    let outcomes = deployments.join_all().await;
    let created = outcomes.iter().filter(|(outcome, ..)| *outcome == DeployOutcome::Created).count();
    let mut keys: Vec<i64> = outcomes.iter().map(|(.., key)| *key).collect();
    keys.dedup();
    assert_eq!((created, keys.len()), (1, 1), "{outcomes:?}");
}

#[tokio::test]
async fn concurrent_deployments_of_different_documents_get_versions_without_a_gap() {
    let world = World::new(database!());
    let (one, two) = (world.serve("engine-0").await, world.serve("engine-1").await);
    let mut deployments = tokio::task::JoinSet::new();
    for number in 0..10 {
        let caller = if number % 2 == 0 { one.controller() } else { two.controller() };
        let request = deployment("_default", &one_task("order", &format!("type-{number}")));
        deployments.spawn(async move { outcome(&caller, request).await.1 });
    }
    let mut versions = deployments.join_all().await;
    versions.sort_unstable();
    assert_eq!(versions, (1..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_refused_document_is_answered_with_findings_and_not_deployed() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let request = deployment("_default", &without_task_definition("order"));
    let response = caller.try_deploy(request).await.expect("should be answered");
    let Some(deploy_process_response::Result::Rejected(rejected)) = response.result else {
        panic!("{response:?}")
    };
    let finding = rejected.findings.first().expect("should have a finding");
    assert_eq!((&*finding.rule_id, &*finding.element_id), ("missing-task-definition", "Task_charge"));
    assert!(finding.line > 0);
    let missing = caller.try_start("_default", "order", &json!({})).await.expect_err("should not be there");
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test]
async fn a_process_id_belongs_to_its_owner() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let by = |owner: Option<Owner>, document: &str| DeployProcessRequest {
        owner,
        ..deployment("_default", document)
    };
    let (first, second) =
        (owner("WorkflowProcess/a/order", "uid-1", 1), owner("WorkflowProcess/b/order", "uid-2", 2));
    let (one, two) = (one_task("order", "charge"), one_task("order", "refund"));
    outcome(&caller, by(None, &one)).await;
    // A process without an owner is adopted, also by an unchanged deployment.
    assert_eq!(outcome(&caller, by(Some(first.clone()), &one)).await.0, DeployOutcome::Unchanged);
    for other in [Some(second.clone()), None] {
        let refused = caller.try_deploy(by(other, &two)).await.expect_err("should be owned");
        assert_eq!(refused.code(), Code::AlreadyExists);
    }
    let mut delete = DeleteProcessRequest {
        request_id: String::new(),
        tenant_id: "_default".to_owned(),
        process_id: "order".to_owned(),
        owner: Some(second.clone()),
        on_instances: OnInstances::Fail.into(),
        retain: false,
    };
    let kept = caller.processes().delete_process(delete.clone()).await.expect("should answer").into_inner();
    assert_eq!((kept.deleted, kept.owned_by_other), (0, true));
    delete.owner = Some(first);
    delete.retain = true;
    let retained = caller.processes().delete_process(delete).await.expect("should answer").into_inner();
    assert_eq!((retained.deleted, retained.owned_by_other), (0, false));
    assert_eq!(outcome(&caller, by(Some(second.clone()), &one)).await.0, DeployOutcome::Unchanged);
    let request = GetProcessDefinitionRequest {
        tenant_id: "_default".to_owned(),
        by: Some(By::ProcessId("order".to_owned())),
    };
    let found =
        caller.processes().get_process_definition(request).await.expect("should be there").into_inner();
    assert_eq!(found.owner, Some(second));
}

#[rstest]
#[case::refuse(OnInstances::Fail, Some("INSTANCES_ACTIVE"), 1, true)]
#[case::keep(OnInstances::KeepRunning, None, 1, false)]
#[case::cancel(OnInstances::Cancel, None, 0, false)]
#[tokio::test]
async fn deleting_a_process_refuses_keeps_or_cancels_its_instances(
    #[case] on_instances: OnInstances,
    #[case] refusal: Option<&str>,
    #[case] jobs_left: usize,
    #[case] startable: bool,
) {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    let instance = caller.start("_default", "order", &json!({})).await;
    let request = DeleteProcessRequest {
        request_id: String::new(),
        tenant_id: "_default".to_owned(),
        process_id: "order".to_owned(),
        owner: None,
        on_instances: on_instances.into(),
        retain: false,
    };
    let answer = caller.processes().delete_process(request).await;
    match (answer, refusal) {
        (Ok(deleted), None) => assert_eq!(deleted.into_inner().deleted, 1),
        (Err(status), Some(reason)) => {
            assert_eq!(status.code(), Code::FailedPrecondition);
            assert!(String::from_utf8_lossy(status.details()).contains(reason));
        }
        (answer, refusal) => panic!("{answer:?} instead of {refusal:?}"),
    }
    assert_eq!(caller.try_start("_default", "order", &json!({})).await.is_ok(), startable);
    let expected = jobs_left + usize::from(startable);
    let jobs = caller.activate("_default", "charge", 10).await;
    assert_eq!(jobs.len(), expected);
    for job in &jobs {
        caller.complete(job, &json!({})).await;
    }
    let state = caller.instance("_default", instance).await.state;
    assert_eq!(state, if on_instances == OnInstances::Cancel { 3 } else { 2 });
}

#[tokio::test]
async fn the_tag_of_the_request_takes_precedence_over_that_of_the_document() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let cases = [
        ("neither", "", None, ""),
        ("request", "v8", None, "v8"),
        ("document", "", Some("v7"), "v7"),
        ("both", "v8", Some("v7"), "v8"),
        ("an empty one in the document", "", Some(""), ""),
        ("request and an empty one in the document", "v8", Some(""), "v8"),
    ];
    for (number, (name, asked, in_document, expected)) in cases.into_iter().enumerate() {
        let document = one_task(&format!("order-{number}"), "charge");
        let tag = in_document.map_or(String::new(), |tag| {
            format!("<bpmn:extensionElements><zeebe:versionTag value=\"{tag}\"/></bpmn:extensionElements>")
        });
        let document =
            document.replacen("isExecutable=\"true\">", &format!("isExecutable=\"true\">{tag}"), 1);
        let request =
            DeployProcessRequest { version_tag: asked.to_owned(), ..deployment("_default", &document) };
        for outcome in [DeployOutcome::Created, DeployOutcome::Unchanged] {
            let answer = deployed(caller.try_deploy(request.clone()).await.expect("should be answered"));
            let tag = answer.definition.as_ref().map(|definition| definition.version_tag.as_str());
            assert_eq!((answer.outcome(), tag), (outcome, Some(expected)), "{name}");
        }
    }
}

fn reported(findings: &[Finding]) -> Vec<String> {
    let line = |finding: &Finding| {
        let on =
            if finding.element_id.is_empty() { String::new() } else { format!(" on {}", finding.element_id) };
        let severity = match finding.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Unspecified => "unspecified",
        };
        format!(
            "{}:{}: {severity}: {}{on} [{}]",
            finding.line, finding.column, finding.message, finding.rule_id
        )
    };
    findings.iter().map(line).collect()
}

#[tokio::test]
async fn lint_validation_and_deployment_have_the_same_findings_for_every_document() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let directory = tempfile::tempdir().expect("should make a directory");
    let file = directory.path().join("process.bpmn");
    for Judged { name, document, refusal } in judged() {
        for mode in [LintMode::Lenient, LintMode::Strict] {
            std::fs::write(&file, &document).expect("should write the document");
            let argument = if mode == LintMode::Strict { "strict" } else { "lenient" };
            let lint = Command::new(env!("CARGO_BIN_EXE_workflow-engine"))
                .args(["lint", "--mode", argument])
                .arg(&file)
                .output()
                .expect("should lint");
            let printed = String::from_utf8(lint.stdout).expect("should be text");
            let prefix = format!("{}:", file.display());
            let linted: Vec<String> = printed.lines().map(|line| line.replacen(&prefix, "", 1)).collect();

            let request = ValidateProcessRequest {
                tenant_id: "_default".to_owned(),
                content: document.clone().into_bytes(),
                mode: mode.into(),
            };
            let validated = caller.processes().validate_process(request).await.expect("should be answered");
            let validated = validated.into_inner();
            assert_eq!(reported(&validated.findings), linted, "{name}, {argument}: validation and lint");

            let request = DeployProcessRequest { mode: mode.into(), ..deployment("_default", &document) };
            let answer = caller.try_deploy(request).await.expect("should be answered");
            let (deployed, findings) = match answer.result {
                Some(deploy_process_response::Result::Deployed(deployed)) => {
                    (deployed.definition.map(|definition| definition.process_id), linted.clone())
                }
                Some(deploy_process_response::Result::Rejected(rejected)) => {
                    (None, reported(&rejected.findings))
                }
                None => (None, Vec::new()),
            };
            assert_eq!(findings, linted, "{name}, {argument}: deployment and lint");

            let wanted = refusal.is_none().then(|| "order".to_owned());
            assert_eq!(deployed, wanted, "{name}, {argument}: deployment");
            assert_eq!(validated.deployable, refusal.is_none(), "{name}, {argument}: validation");
            assert_eq!(lint.status.success(), refusal.is_none(), "{name}, {argument}: lint");
            let first = validated.findings.iter().find(|finding| finding.severity() == Severity::Error);
            let first = first.map(|finding| (finding.rule_id.as_str(), finding.line, finding.column));
            assert_eq!(first, refusal, "{name}, {argument}: {linted:?}");
        }
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_deployed_names_its_field() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let good = deployment("_default", &one_task("order", "charge"));
    let refused = [
        (DeployProcessRequest { content_sha256: "0".repeat(64), ..good.clone() }, "content_sha256"),
        (DeployProcessRequest { mode: 0, ..good.clone() }, "mode"),
        (DeployProcessRequest { tenant_id: "Not A Label".to_owned(), ..good.clone() }, "tenant_id"),
        (DeployProcessRequest { version_tag: "a\nb".to_owned(), ..good.clone() }, "version_tag"),
    ];
    for (request, field) in refused {
        let status = caller.try_deploy(request).await.expect_err(field);
        assert_eq!(status.code(), Code::InvalidArgument, "{}", status.message());
        assert!(status.message().contains(field), "{} does not name {field}", status.message());
    }
    let unknown = caller.try_deploy(DeployProcessRequest { tenant_id: "nobody".to_owned(), ..good });
    let unknown = unknown.await.expect_err("should be refused");
    assert_eq!(unknown.code(), Code::FailedPrecondition);
    assert!(unknown.message().contains("tenant nobody does not exist"), "{}", unknown.message());
}

#[tokio::test]
async fn a_tenant_above_its_storage_quota_deploys_nothing_more() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas { max_storage_bytes: 100, ..TenantQuotas::default() }).await;
    let refused = caller.try_deploy(deployment("acme", &one_task("order", "charge"))).await;
    let refused = refused.expect_err("should be refused");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(String::from_utf8_lossy(refused.details()).contains("storage-bytes"));
}

#[tokio::test]
async fn definitions_are_listed_page_by_page() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    for version in ["x", "y"] {
        for process in ["a", "b", "c"] {
            caller.deploy("_default", &one_task(process, version)).await;
        }
    }
    let mut request = ListProcessDefinitionsRequest {
        tenant_id: "_default".to_owned(),
        latest_only: true,
        page_size: 2,
        page_token: String::new(),
        owner_id: String::new(),
    };
    let mut listed = Vec::new();
    loop {
        let page = caller.processes().list_process_definitions(request.clone()).await.expect("should list");
        let page = page.into_inner();
        listed.extend(
            page.definitions.into_iter().map(|definition| (definition.process_id, definition.version)),
        );
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(listed, [("a".to_owned(), 2), ("b".to_owned(), 2), ("c".to_owned(), 2)]);
    request.page_token = "nonsense".to_owned();
    let refused = caller.processes().list_process_definitions(request).await.expect_err("should be refused");
    assert_eq!(refused.code(), Code::InvalidArgument);
}
