use std::collections::BTreeMap;
use std::process::Command;

use engine_api::proto::{InstanceState, TenantQuotas};
use serde_json::{Value, json};

use crate::incidents::park;
use crate::models::{decision_without_default, one_task, without_task_definition};
use crate::support::{Engine, FIRST_EPOCH, World, database};

/// One HTTP/1.1 request over TLS, as a person with curl would send it.
pub(crate) async fn http(
    engine: &Engine,
    token: Option<&str>,
    (method, path): (&str, &str),
    body: &str,
) -> (u16, Value) {
    use rustls::pki_types::pem::PemObject;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let mut roots = rustls::RootCertStore::empty();
    let ca =
        rustls::pki_types::CertificateDer::from_pem_slice(engine.ca_pem().as_bytes()).expect("should be PEM");
    roots.add(ca).expect("should be a CA");
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", engine.api)).await.expect("should connect");
    let name = "localhost".try_into().expect("should be a name");
    let mut stream = connector.connect(name, stream).await.expect("should shake hands");
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{authorization}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("should send");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("should have a code");
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    (code, serde_json::from_str(body).unwrap_or(Value::String(body.to_owned())))
}

#[tokio::test]
async fn the_json_gateway_deploys_as_the_grpc_api_does() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let post =
        async |token, body: &str| http(&engine, token, ("POST", "/api/v1/processes/deploy"), body).await;
    let token = engine.controller_token().to_owned();
    let document = one_task("order", "charge");
    let body = json!({"bpmn": document, "validate": "lenient"}).to_string();
    let (code, created) = post(Some(&token), &body).await;
    let key = created["processDefinitionKey"].as_i64().expect("should have a key");
    assert_eq!(
        (code, created),
        (
            201,
            json!({
                "outcome": "CREATED", "processDefinitionKey": key, "processDefinitionKeyString": key.to_string(),
                "bpmnProcessId": "order", "version": 1, "versionTag": "", "tenantId": "_default",
                "contentSha256": bpmn::digest(document.as_bytes()), "jobTypes": ["charge"],
            })
        )
    );
    let (code, unchanged) = post(Some(&token), &body).await;
    assert_eq!((code, &unchanged["outcome"]), (200, &json!("UNCHANGED")));

    let bad = json!({"bpmn": without_task_definition("order"), "validate": "lenient"}).to_string();
    let (code, rejected) = post(Some(&token), &bad).await;
    assert_eq!((code, &rejected["findings"][0]["ruleId"]), (422, &json!("missing-task-definition")));
    let (code, problem) = post(Some(&token), r#"{"bpmn": "<x/>", "tenant": "acme"}"#).await;
    assert!(
        code == 422 && problem["title"].as_str().is_some_and(|title| title.contains("tenant")),
        "{problem}"
    );
    assert_eq!(post(None, &body).await.0, 401);
    assert_eq!(post(Some("guessed"), &body).await.0, 401);
}

/// A call of the controllers' token, which must be answered with 200.
async fn ask(engine: &Engine, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (code, answer) = http(engine, Some(engine.controller_token()), (method, path), &body).await;
    assert_eq!(code, 200, "{method} {path}: {answer}");
    answer
}

#[tokio::test]
async fn the_json_gateway_shows_and_changes_instances_as_the_grpc_api_does() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas::default()).await;
    let definition = caller.deploy("acme", &one_task("order", "charge")).await.definition.expect("is").key;
    let (stuck, job) = park(&caller, "acme", "order").await;
    let running = caller.start("acme", "order", &json!({"amount": 2.5})).await;

    let listed =
        ask(&engine, "GET", "/api/v1/instances?tenantId=acme&state=ACTIVE&hasIncident=true", &Value::Null)
            .await;
    let started_at = listed["instances"][0]["startedAt"].clone();
    assert!(started_at.as_str().is_some_and(|at| at.starts_with("20")), "{listed}");
    assert_eq!(
        listed,
        json!({
            "instances": [{
                "key": stuck.to_string(), "processDefinitionKey": definition.to_string(), "bpmnProcessId": "order",
                "version": 1, "state": "ACTIVE", "startedAt": started_at, "openIncidents": 1,
            }],
            "nextPageToken": "",
        })
    );
    let incidents =
        ask(&engine, "GET", &format!("/api/v1/incidents?tenantId=acme&instanceKey={stuck}"), &Value::Null)
            .await;
    let incident = incidents["incidents"][0].clone();
    assert_eq!(
        incidents,
        json!({
            "incidents": [{
                "key": incident["key"], "instanceKey": stuck.to_string(), "processDefinitionKey": definition.to_string(),
                "bpmnProcessId": "order", "version": 1, "kind": "JOB_NO_RETRIES", "elementId": "work", "message": "card declined",
                "raisedAt": incident["raisedAt"], "jobKey": job.key.to_string(),
            }],
            "nextPageToken": "",
        })
    );
    let counts = ask(&engine, "GET", "/api/v1/incidents/counts?tenantId=acme", &Value::Null).await;
    let count = json!({
        "processDefinitionKey": definition.to_string(), "bpmnProcessId": "order", "version": 1, "open": 1,
    });
    assert_eq!(counts, json!({"counts": [count]}));
    let shown = ask(&engine, "GET", &format!("/api/v1/instances/{stuck}?tenantId=acme"), &Value::Null).await;
    let open = json!({
        "elementId": "work", "tokens": 1, "incidentKey": incident["key"],
        "job": {"key": job.key.to_string(), "type": "charge", "retries": 0},
    });
    assert_eq!((&shown["openElements"], &shown["incidents"]), (&json!([open]), &incidents["incidents"]));

    let set = json!({"tenantId": "acme", "variables": {"amount": 3, "who": {"is": ["me"]}}});
    ask(&engine, "POST", &format!("/api/v1/instances/{stuck}/variables"), &set).await;
    let shown = ask(&engine, "GET", &format!("/api/v1/instances/{stuck}?tenantId=acme"), &Value::Null).await;
    assert_eq!(shown["variables"], set["variables"]);
    let resolve = json!({"tenantId": "acme", "retries": 2, "requestId": "resolve-1"});
    let path = format!("/api/v1/incidents/{}/resolve", incident["key"].as_str().expect("is a text"));
    for _ in 0..2 {
        assert_eq!(ask(&engine, "POST", &path, &resolve).await, json!({}));
    }
    let taken = caller.activate("acme", "charge", 2).await;
    assert_eq!(taken.iter().find(|taken| taken.key == job.key).map(|again| again.retries), Some(2));
    let cancel = json!({"tenantId": "acme", "keys": [running.to_string(), 42]});
    assert_eq!(
        ask(&engine, "POST", "/api/v1/instances/cancel", &cancel).await,
        json!({"canceled": 1, "notRunning": ["42"], "nextPageToken": ""})
    );
    let all = json!({"tenantId": "acme", "filter": {}});
    assert_eq!(ask(&engine, "POST", "/api/v1/instances/cancel", &all).await["canceled"], 1);
    let path = format!("/api/v1/instances/{running}/cancel");
    assert_eq!(ask(&engine, "POST", &path, &json!({"tenantId": "acme"})).await, json!({}));
    assert_eq!(caller.instance("acme", stuck).await.state(), InstanceState::Canceled);
}

/// Called as by an application, with a client token of its tenant.
#[tokio::test]
async fn the_json_gateway_starts_an_instance_once_per_request_id_and_only_in_the_callers_tenant() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    for tenant in ["acme", "beta"] {
        caller.put_tenant(tenant, TenantQuotas::default()).await;
    }
    let definition =
        caller.deploy("acme", &one_task("order-flow", "charge")).await.definition.expect("is").key;
    let token = engine.client_token("acme", FIRST_EPOCH);
    let post = async |body: Value| {
        http(&engine, Some(&token), ("POST", "/api/v1/instances"), &body.to_string()).await
    };
    // The example in the documentation.
    let manual = include_str!("../../../../docs/spec/workflowtenant.md");
    let body = manual.lines().find_map(|line| line.strip_prefix("  -d '{\"tenantId\"")?.strip_suffix('\''));
    let body = format!("{{\"tenantId\"{}", body.expect("should be documented"));
    let body: Value = serde_json::from_str(&body).expect("should be JSON");
    let (code, started) = post(body.clone()).await;
    let key: i64 = started["key"].as_str().and_then(|key| key.parse().ok()).expect("should have a key");
    let expected = json!({"key": key.to_string(), "processDefinitionKey": definition.to_string()});
    assert_eq!((code, &started), (201, &expected));
    assert_eq!(post(body).await, (201, started));
    let path = format!("/api/v1/instances/{key}?tenantId=acme");
    let (_, shown) = http(&engine, Some(&token), ("GET", &path), "").await;
    assert_eq!((&shown["state"], &shown["variables"]), (&json!("ACTIVE"), &json!({"amount": 120})));
    assert_eq!(caller.activate("acme", "charge", 5).await.len(), 1);

    for (body, code, reported) in [
        (json!({"tenantId": "acme", "bpmnProcessId": "order-flow", "version": 7}), 404, "7"),
        (json!({"tenantId": "acme", "bpmnProcessId": "none"}), 404, "none"),
        (json!({"tenantId": "acme", "processId": "order"}), 422, "processId"),
        (json!({"tenantId": "acme"}), 422, "bpmnProcessId"),
        (json!({"tenantId": "beta", "bpmnProcessId": "order-flow"}), 403, ""),
        (json!({"bpmnProcessId": "order-flow"}), 403, ""),
    ] {
        let (answered, problem) = post(body.clone()).await;
        assert!(answered == code && problem.to_string().contains(reported), "{body}: {answered} {problem}");
    }
}

#[tokio::test]
async fn refusals_of_the_json_gateway_are_problems_that_say_what_to_do() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &decision_without_default("order")).await;
    let stuck = caller.start("_default", "order", &json!({"amount": 1})).await;
    let incident = caller.instance("_default", stuck).await.incidents[0].key;
    let token = engine.controller_token();
    let resolve = format!("/api/v1/incidents/{incident}/resolve");
    let variables = format!("/api/v1/instances/{stuck}/variables");
    for (method, path, body, code, reported) in [
        ("POST", resolve.as_str(), json!({"retries": 1}), 412, "INCIDENT_REMAINS"),
        ("POST", "/api/v1/incidents/42/resolve", json!({"retries": 1}), 404, "no open incident 42"),
        ("POST", "/api/v1/incidents/resolve", json!({"retries": 1}), 400, "one of keys and filter"),
        ("POST", resolve.as_str(), json!({"retries": 0}), 400, "retries"),
        ("POST", resolve.as_str(), json!({"retry": 1}), 422, "retry"),
        (
            "POST",
            variables.as_str(),
            json!({"variables": {"id": 9_007_199_254_740_993_i64}}),
            400,
            "as a text",
        ),
        ("GET", "/api/v1/instances?tenant=acme", Value::Null, 400, "tenant"),
        ("GET", "/api/v1/instances?state=DONE", Value::Null, 400, "DONE"),
        ("GET", "/api/v1/instances/first", Value::Null, 400, "first"),
        ("GET", "/api/v1/instances/42", Value::Null, 404, "no instance 42"),
    ] {
        let (answered, problem) = http(&engine, Some(token), (method, path), &body.to_string()).await;
        assert_eq!((answered, &problem["status"]), (code, &json!(code)), "{method} {path} {problem}");
        assert!(
            problem.to_string().contains(reported),
            "{method} {path}: {problem} does not name {reported}"
        );
    }
    for path in ["/api/v1/instances", "/api/v1/incidents", "/api/v1/incidents/counts"] {
        assert_eq!(http(&engine, None, ("GET", path), "").await.0, 401, "{path}");
    }
}

/// The commands of a section of docs/operations.md, as a shell with these variables would send them.
fn documented(section: &str, variables: &BTreeMap<&str, String>) -> Vec<[String; 3]> {
    let manual = include_str!("../../../../docs/operations.md");
    let section = manual.split("\n## ").find(|part| part.starts_with(section)).expect("should be documented");
    let commands: Vec<&str> = section.lines().filter(|line| line.starts_with("engine ")).collect();
    commands
        .into_iter()
        .map(|command| {
            let script = format!("engine() {{ printf '%s\\n' \"$1\" \"$2\" \"$3\"; }}; {command}");
            let shell =
                Command::new("sh").args(["-c", &script]).envs(variables).output().expect("should run");
            assert!(shell.status.success(), "{command}: {}", String::from_utf8_lossy(&shell.stderr));
            let printed = String::from_utf8(shell.stdout).expect("should be text");
            let mut lines = printed.lines().map(str::to_owned);
            std::array::from_fn(|_| lines.next().unwrap_or_default())
        })
        .collect()
}

#[tokio::test]
async fn the_documented_commands_for_an_incident_work() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas::default()).await;
    caller.deploy("acme", &one_task("order-flow", "charge")).await;
    let (instance, _) = park(&caller, "acme", "order-flow").await;
    park(&caller, "acme", "order-flow").await;
    let incident = caller.instance("acme", instance).await.incidents[0].key;
    let variables = BTreeMap::from([
        ("TENANT", "acme".to_owned()),
        ("PROCESS", "order-flow".to_owned()),
        ("INSTANCE", instance.to_string()),
        ("INCIDENT", incident.to_string()),
    ]);
    let mut answers = Vec::new();
    for [method, path, body] in documented("An instance has an incident", &variables) {
        let path = format!("/api/v1{path}");
        let token = engine.client_token("acme", FIRST_EPOCH);
        let (code, answer) = http(&engine, Some(&token), (&method, &path), &body).await;
        assert_eq!(code, 200, "{method} {path} {body}: {answer}");
        answers.push((method, path, answer));
    }
    // They list the incidents, resolve one, resolve the rest, and cancel both instances.
    let reported: Vec<(&str, usize)> = answers
        .iter()
        .filter_map(|(_, path, answer)| {
            let count = |field: &str| answer[field].as_u64().and_then(|count| usize::try_from(count).ok());
            let listed = answer["incidents"].as_array().map(Vec::len);
            let (what, count) = match path.as_str() {
                path if path.ends_with("/resolve") => ("resolved", count("resolved")?),
                path if path.ends_with("/cancel") => ("canceled", count("canceled")?),
                path if path.starts_with("/api/v1/incidents") => ("listed", listed?),
                _ => return None,
            };
            Some((what, count))
        })
        .collect();
    assert_eq!(reported, [("listed", 2), ("resolved", 1), ("canceled", 1)]);
    assert_eq!(caller.instance("acme", instance).await.state(), InstanceState::Canceled);
}
