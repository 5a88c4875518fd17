//! The environment that every worker pod gets: the contract between worker-controller and worker images.
//! `docs/spec/workflowworker.md` is its user documentation.

/// Job types to serve, separated by commas, sorted; no job type contains a comma.
pub const JOB_TYPES: &str = "WORKFLOW_JOB_TYPES";
/// `host:port` of the engine's gRPC API, which always speaks TLS.
pub const ENGINE_ADDRESS: &str = "WORKFLOW_ENGINE_ADDRESS";
/// Id of the tenant whose jobs are served; `_default` is the engine's tenant for workers without a tenant.
pub const TENANT: &str = "WORKFLOW_TENANT";
/// Name of the worker in the engine, for its records: the name of the pod.
pub const WORKER_NAME: &str = "WORKFLOW_WORKER_NAME";
/// File with the PEM certificate authority that the engine's certificate is checked against.
pub const CA_FILE: &str = "WORKFLOW_CA_FILE";
/// File with the bearer token. The file is replaced when the token is rotated: read it again when a call is refused.
pub const TOKEN_FILE: &str = "WORKFLOW_TOKEN_FILE";

/// What all of these names start with; a user's own variables may not.
pub const PREFIX: &str = "WORKFLOW_";
/// Directory that holds both files in the pod, read-only.
pub const CREDENTIALS_DIR: &str = "/var/run/workflow-engine";
