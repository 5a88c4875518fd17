//! Names in `deploy/gitops`.

/// Where the operator, the cluster and the tenants live.
pub const SYSTEM_NAMESPACE: &str = "workflow-system";
/// Where tests and demonstrations make engine clusters of their own; the operator may work there, too.
pub const PLAYGROUND: &str = "e2e-all";
/// Where tenant acme's processes and workers live.
pub const ACME_NAMESPACE: &str = "acme-tenant";
/// The WorkflowCluster.
pub const CLUSTER: &str = "prod-east";
/// The WorkflowTenant.
pub const TENANT: &str = "acme";
/// The WorkflowProcess, and the id of its BPMN process.
pub const PROCESS: &str = "order-flow";
/// The WorkflowWorker.
pub const WORKER: &str = "payment-worker";
/// The job type whose lag is reported.
pub const JOB_TYPE: &str = "charge-payment";
