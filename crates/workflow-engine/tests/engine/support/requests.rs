use engine_api::proto::{
    ActivateJobsRequest, CompleteJobRequest, DeployProcessRequest, DeployProcessResponse, Job, LintMode,
    Owner, Tenant, TenantQuotas, deploy_process_response,
};
use serde_json::Value;

use super::FIRST_EPOCH;

pub(crate) fn deployment(tenant_id: &str, document: &str) -> DeployProcessRequest {
    DeployProcessRequest {
        request_id: String::new(),
        tenant_id: tenant_id.to_owned(),
        resource_name: "test.bpmn".to_owned(),
        content: document.as_bytes().to_vec(),
        content_sha256: bpmn::digest(document.as_bytes()),
        version_tag: String::new(),
        mode: LintMode::Lenient.into(),
        owner: None,
        follows_version: None,
    }
}

pub(crate) fn deployed(response: DeployProcessResponse) -> deploy_process_response::Deployed {
    match response.result {
        Some(deploy_process_response::Result::Deployed(deployed)) => deployed,
        other => panic!("not deployed: {other:?}"),
    }
}

/// An owner whose object was created in this second.
pub(crate) fn owner(id: &str, uid: &str, second: i64) -> Owner {
    let created_at = Some(prost_types::Timestamp { seconds: second, nanos: 0 });
    Owner { id: id.to_owned(), uid: uid.to_owned(), created_at }
}

pub(crate) fn tenant(id: &str, quotas: TenantQuotas) -> Tenant {
    Tenant {
        id: id.to_owned(),
        display_name: id.to_uppercase(),
        quotas: Some(quotas),
        rls: true,
        suspended: false,
        owner: Some(owner("the-owner", FIRST_EPOCH, 1)),
        generation: 1,
    }
}

pub(crate) fn activation(tenant_id: &str, job_type: &str, max_jobs: i32) -> ActivateJobsRequest {
    ActivateJobsRequest {
        tenant_id: tenant_id.to_owned(),
        job_types: vec![job_type.to_owned()],
        worker: "tester".to_owned(),
        max_jobs,
        lease: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        wait: None,
    }
}

pub(crate) fn completion(job: &Job, variables: &Value) -> CompleteJobRequest {
    CompleteJobRequest {
        tenant_id: job.tenant_id.clone(),
        key: job.key,
        lease_epoch: job.lease_epoch,
        variables: Some(wire_variables(variables)),
    }
}

pub(crate) fn wire_variables(variables: &Value) -> prost_types::Struct {
    let fields = variables.as_object().expect("should be an object");
    prost_types::Struct {
        fields: fields.iter().map(|(name, value)| (name.clone(), wire_value(value))).collect(),
    }
}

fn wire_value(value: &Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(*truth),
        Value::Number(number) => Kind::NumberValue(number.as_f64().expect("should be a double")),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(values) => {
            Kind::ListValue(prost_types::ListValue { values: values.iter().map(wire_value).collect() })
        }
        Value::Object(_) => Kind::StructValue(wire_variables(value)),
    };
    prost_types::Value { kind: Some(kind) }
}
