//! BPMN documents with the result that every check of them must give: `workflow-engine lint`, `ValidateProcess`,
//! `DeployProcess` and the process-controller. Each of these runs all documents in its own tests.

/// A document, and what makes a deployment refuse it.
pub struct Judged {
    /// What is special about it.
    pub name: &'static str,
    /// The document.
    pub document: String,
    /// Rule, line and column of the first thing that is wrong; `None` when it is deployed as process `order`.
    pub refusal: Option<(&'static str, u32, u32)>,
}

/// Documents about which these checks have disagreed, or might.
pub fn judged() -> Vec<Judged> {
    let order = process("order", "true", &body("order", "charge", "=total &gt; 3"));
    let second = |executable| process("refund", executable, &body("refund", "charge", "=total &gt; 3"));
    let of_job = |job_type| process("order", "true", &body("order", job_type, "=total &gt; 3"));
    let on = |condition| process("order", "true", &body("order", "charge", condition));
    let message = r#"<message id="M" name="m"/><signal id="G"/>"#;
    let drawing = r#"<process id="drawn"><receiveTask id="D" messageRef="M"/></process>"#;
    let caller = r#"<startEvent id="call_S" name="s"><outgoing>call_1</outgoing></startEvent>
<callActivity id="call_T" name="t"><extensionElements><wf:calledElement processId="order"/></extensionElements><incoming>call_1</incoming><outgoing>call_2</outgoing></callActivity>
<endEvent id="call_E" name="e"><incoming>call_2</incoming></endEvent>
<sequenceFlow id="call_1" sourceRef="call_S" targetRef="call_T"/><sequenceFlow id="call_2" sourceRef="call_T" targetRef="call_E"/>"#;
    let judged = |name, body: &[&str], refusal| Judged { name, document: document(&body.concat()), refusal };
    vec![
        judged("one process", &[&order], None),
        judged("a drawing beside it that waits for a message", &[message, &order, drawing], None),
        judged("a drawing beside it that could run", &[&order, &second("false")], None),
        judged(
            "two executable processes",
            &[&order, &second("true")],
            Some(("capability-one-process", 10, 1)),
        ),
        judged(
            "two that say it by a number",
            &[&order, &second("1")],
            Some(("capability-one-process", 10, 1)),
        ),
        judged("two of one id", &[&order, &process("order", "true", "")], Some(("duplicate-id", 10, 1))),
        judged(
            "a process and what it calls",
            &[&order, &process("call", "true", caller)],
            Some(("capability-one-process", 10, 1)),
        ),
        judged("none that is executable", &[&second("false")], Some(("no-executable-process", 1, 1))),
        judged("nothing", &[], Some(("no-executable-process", 1, 1))),
        judged(
            "a process without an id",
            &[&order.replacen(" id=\"order\"", "", 1)],
            Some(("missing-process-id", 2, 1)),
        ),
        judged("typographic quotes in a condition", &[&on("=kind = “new”")], Some(("feel-syntax", 7, 77))),
        judged(
            "a condition outside the subset",
            &[&on("=count(kind) &gt; 3")],
            Some(("capability-feel", 7, 1)),
        ),
        judged(
            "a job type that ends with a blank",
            &[&of_job("charge ")],
            Some(("capability-unservable-job-type", 5, 55)),
        ),
        judged("a job type with a blank inside", &[&of_job("charge payment")], None),
        judged("a job type from a constant", &[&of_job("=&quot;charge&quot;")], None),
        judged("a job type from a variable", &[&of_job("=kind")], Some(("capability-job-type", 5, 55))),
        judged(
            "a version tag that cannot be shown",
            &[&order.replacen(
                "<startEvent",
                "<extensionElements><wf:versionTag value=\"v&#10;7\"/></extensionElements><startEvent",
                1,
            )],
            Some(("capability-identifier", 3, 20)),
        ),
    ]
}

fn document(body: &str) -> String {
    format!(
        r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:wf="http://workflow.example.com/schema/1.0" targetNamespace="urn:test">
{body}</definitions>"#
    )
}

fn process(id: &str, executable: &str, body: &str) -> String {
    format!("<process id=\"{id}\" isExecutable=\"{executable}\">\n{body}</process>\n")
}

/// A decision and a job, without a finding in strict mode.
fn body(id: &str, job_type: &str, condition: &str) -> String {
    format!(
        r#"<startEvent id="{id}_S" name="s"><outgoing>{id}_1</outgoing></startEvent>
<exclusiveGateway id="{id}_X" name="x" default="{id}_3"><incoming>{id}_1</incoming><outgoing>{id}_2</outgoing><outgoing>{id}_3</outgoing></exclusiveGateway>
<serviceTask id="{id}_T" name="t"><extensionElements><wf:taskDefinition type="{job_type}"/></extensionElements><incoming>{id}_2</incoming><outgoing>{id}_4</outgoing></serviceTask>
<endEvent id="{id}_E" name="e"><incoming>{id}_3</incoming><incoming>{id}_4</incoming></endEvent>
<sequenceFlow id="{id}_2" name="y" sourceRef="{id}_X" targetRef="{id}_T"><conditionExpression>{condition}</conditionExpression></sequenceFlow>
<sequenceFlow id="{id}_1" sourceRef="{id}_S" targetRef="{id}_X"/><sequenceFlow id="{id}_3" sourceRef="{id}_X" targetRef="{id}_E"/><sequenceFlow id="{id}_4" sourceRef="{id}_T" targetRef="{id}_E"/>
"#
    )
}
