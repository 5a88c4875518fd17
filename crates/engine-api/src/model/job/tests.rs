use super::*;
use crate::model::{DeployProcess, Instance, InstanceState, LintMode, ValidateProcess};

const SECRET: &str = "4111-1111";

fn variables() -> Variables {
    Variables::from_iter([("card".to_owned(), SECRET.into())])
}

fn job() -> Job {
    Job {
        key: 1,
        tenant_id: "acme".into(),
        job_type: "charge".into(),
        instance_key: 2,
        process_definition_key: 3,
        process_id: "order".into(),
        element_id: "Task_charge".into(),
        headers: HashMap::new(),
        variables: variables(),
        retries: 3,
        lease_epoch: 1,
        lease_expires_at: Timestamp::UNIX_EPOCH,
        created_at: Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn debug_tells_neither_variables_nor_documents() {
    let start = StartInstance {
        request_id: "r".into(),
        tenant_id: "acme".into(),
        process_id: "order".into(),
        version: None,
        variables: variables(),
    };
    let starts = StartInstances {
        request_id: "r".into(),
        tenant_id: "acme".into(),
        process_id: "order".into(),
        version: None,
        variables: vec![variables()],
    };
    let complete = CompleteJob { job: job().job_ref(), variables: variables() };
    let instance = Instance {
        key: 2,
        process_definition_key: 3,
        process_id: "order".into(),
        version: 1,
        state: InstanceState::Active,
        variables: variables(),
        incidents: Vec::new(),
        open_elements: Vec::new(),
        started_at: None,
        ended_at: None,
    };
    let deploy = DeployProcess {
        request_id: "r".into(),
        tenant_id: "acme".into(),
        resource_name: "acme/order".into(),
        content: SECRET.into(),
        content_sha256: "00".into(),
        version_tag: None,
        mode: LintMode::Strict,
        owner: None,
        follows_version: None,
    };
    let validate =
        ValidateProcess { tenant_id: "acme".into(), content: SECRET.into(), mode: LintMode::Strict };
    for reported in
        [format!("{start:?}"), format!("{:?}", job()), format!("{complete:?}"), format!("{instance:?}")]
    {
        assert!(reported.contains("variables: 1 of them") && !reported.contains(SECRET), "{reported}");
    }
    let reported = format!("{starts:?}");
    assert!(reported.contains("variables: [1 of them]") && !reported.contains(SECRET), "{reported}");
    for reported in [format!("{deploy:?}"), format!("{validate:?}")] {
        let bytes = format!("{:?}", SECRET.as_bytes());
        assert!(reported.contains("content: 9 bytes") && !reported.contains(&bytes), "{reported}");
    }
}
