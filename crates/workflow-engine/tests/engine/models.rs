//! BPMN documents that the tests deploy.

fn document(process_id: &str, body: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
    xmlns:zeebe="http://camunda.org/schema/zeebe/1.0" id="definitions" targetNamespace="http://workflow.example.com">
  <bpmn:process id="{process_id}" isExecutable="true">
    {body}
  </bpmn:process>
</bpmn:definitions>"#
    )
}

pub(crate) fn task(id: &str, job_type: &str) -> String {
    format!(
        r#"<bpmn:serviceTask id="{id}" name="{id}"><bpmn:extensionElements>
             <zeebe:taskDefinition type="{job_type}" retries="3" />
             <zeebe:taskHeaders><zeebe:header key="queue" value="fast" /></zeebe:taskHeaders>
           </bpmn:extensionElements></bpmn:serviceTask>"#
    )
}

pub(crate) fn flow(source: &str, target: &str) -> String {
    format!(r#"<bpmn:sequenceFlow id="{source}_{target}" sourceRef="{source}" targetRef="{target}" />"#)
}

pub(crate) fn flow_if(source: &str, target: &str, condition: &str) -> String {
    format!(
        r#"<bpmn:sequenceFlow id="{source}_{target}" sourceRef="{source}" targetRef="{target}">
             <bpmn:conditionExpression>={condition}</bpmn:conditionExpression></bpmn:sequenceFlow>"#
    )
}

/// start → one task → end.
pub(crate) fn one_task(process_id: &str, job_type: &str) -> String {
    let parts = [
        r#"<bpmn:startEvent id="start" />"#.to_owned(),
        task("work", job_type),
        r#"<bpmn:endEvent id="end" />"#.to_owned(),
        flow("start", "work"),
        flow("work", "end"),
    ];
    document(process_id, &parts.concat())
}

/// start → fork → two tasks → join → last task → end.
pub(crate) fn fork_and_join(process_id: &str) -> String {
    let parts = [
        r#"<bpmn:startEvent id="start" /><bpmn:endEvent id="end" />"#.to_owned(),
        r#"<bpmn:parallelGateway id="fork" /><bpmn:parallelGateway id="join" />"#.to_owned(),
        task("left", "left"),
        task("right", "right"),
        task("last", "last"),
        flow("start", "fork"),
        flow("fork", "left"),
        flow("fork", "right"),
        flow("left", "join"),
        flow("right", "join"),
        flow("join", "last"),
        flow("last", "end"),
    ];
    document(process_id, &parts.concat())
}

/// start → fork → one task per type → end.
pub(crate) fn fork(process_id: &str, job_types: &[String]) -> String {
    let tasks = job_types.iter().enumerate().flat_map(|(n, job_type)| {
        let id = format!("task-{n}");
        [task(&id, job_type), flow("fork", &id), flow(&id, "end")]
    });
    let ends = [
        r#"<bpmn:startEvent id="start" /><bpmn:endEvent id="end" /><bpmn:parallelGateway id="fork" />"#
            .to_owned(),
        flow("start", "fork"),
    ];
    document(process_id, &ends.into_iter().chain(tasks).collect::<String>())
}

/// start → attempt → (tries >= 3 ? end : attempt); the default flow leads back.
pub(crate) fn retry_loop(process_id: &str) -> String {
    let parts = [
        r#"<bpmn:startEvent id="start" /><bpmn:endEvent id="end" />"#.to_owned(),
        r#"<bpmn:exclusiveGateway id="enough" default="enough_attempt" />"#.to_owned(),
        task("attempt", "attempt"),
        flow("start", "attempt"),
        flow("attempt", "enough"),
        flow_if("enough", "end", "tries &gt;= 3"),
        flow("enough", "attempt"),
    ];
    document(process_id, &parts.concat())
}

/// start → (amount > 100 ? approve : amount < 0 ? reject) → end, without a default flow.
pub(crate) fn decision_without_default(process_id: &str) -> String {
    let parts = [
        r#"<bpmn:startEvent id="start" /><bpmn:endEvent id="end" />"#.to_owned(),
        r#"<bpmn:exclusiveGateway id="decide" />"#.to_owned(),
        task("approve", "approve"),
        task("reject", "reject"),
        flow("start", "decide"),
        flow_if("decide", "approve", "amount &gt; 100"),
        flow_if("decide", "reject", "amount &lt; 0"),
        flow("approve", "end"),
        flow("reject", "end"),
    ];
    document(process_id, &parts.concat())
}

/// A service task without a job type, which the linter refuses.
pub(crate) fn without_task_definition(process_id: &str) -> String {
    let parts = [
        r#"<bpmn:startEvent id="start" /><bpmn:serviceTask id="Task_charge" /><bpmn:endEvent id="end" />"#
            .to_owned(),
        flow("start", "Task_charge"),
        flow("Task_charge", "end"),
    ];
    document(process_id, &parts.concat())
}

/// start → fork → left → join, and fork → skip → (join or end): the join never gets its second token.
pub(crate) fn stuck_join(process_id: &str) -> String {
    let parts = [
        r#"<bpmn:startEvent id="start" /><bpmn:endEvent id="end" /><bpmn:endEvent id="other" />"#.to_owned(),
        r#"<bpmn:parallelGateway id="fork" /><bpmn:parallelGateway id="join" />"#.to_owned(),
        r#"<bpmn:exclusiveGateway id="skip" default="skip_other" />"#.to_owned(),
        task("left", "left"),
        flow("start", "fork"),
        flow("fork", "left"),
        flow("fork", "skip"),
        flow("left", "join"),
        flow_if("skip", "join", "both"),
        flow("skip", "other"),
        flow("join", "end"),
    ];
    document(process_id, &parts.concat())
}

/// start → x → y → z → x …, and each of them → end once `stop` is true.
pub(crate) fn endless_loop(process_id: &str) -> String {
    let gateway = |id: &str, next: &str| {
        let default = format!(r#"<bpmn:exclusiveGateway id="{id}" default="{id}_{next}" />"#);
        [default, flow(id, next), flow_if(id, "end", "stop")].concat()
    };
    let parts = [
        r#"<bpmn:startEvent id="start" /><bpmn:endEvent id="end" />"#.to_owned(),
        flow("start", "x"),
        gateway("x", "y"),
        gateway("y", "z"),
        gateway("z", "x"),
    ];
    document(process_id, &parts.concat())
}
