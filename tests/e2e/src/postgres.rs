//! The demo's Postgres, asked by `psql` in its pod: what is in a database does not depend on what an engine says.

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt as _};

use crate::cluster::Cluster;
use crate::sample::SYSTEM_NAMESPACE;

/// Its name for pods.
pub const HOST: &str = "postgres-primary.workflow.svc";
const NAMESPACE: &str = "workflow";
const POD: &str = "postgres-0";
const LOGIN: &str = "wf-db-credentials";

/// A database that can be asked.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// This database of the demo's Postgres.
    Demo(&'a str),
    /// The Postgres that was made for this WorkflowCluster.
    Managed {
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        cluster: &'a str,
    },
}

impl Place<'_> {
    /// Runs statements in one session, and gives the rows: columns are separated by `|`.
    pub async fn run(self, cluster: &Cluster, statements: &[&str]) -> anyhow::Result<String> {
        let (namespace, name) = match self {
            Self::Demo(database) => return run(cluster, database, statements).await,
            Self::Managed { namespace, cluster } => (namespace, cluster),
        };
        // In the primary's pod, as its superuser.
        let primary = read_primary(cluster, namespace, name).await?;
        let mut psql = tokio::process::Command::new("kubectl");
        psql.arg("--kubeconfig")
            .arg(&cluster.kubeconfig)
            .args(["--namespace", namespace, "exec", &primary, "--container", "postgres", "--"])
            .args(["psql", "-d", "workflow"]);
        ask(psql, statements).await
    }
}

/// Name of the pod that is the primary of the Postgres of this WorkflowCluster.
pub async fn read_primary(cluster: &Cluster, namespace: &str, name: &str) -> anyhow::Result<String> {
    let kind = GroupVersionKind::gvk("postgresql.cnpg.io", "v1", "Cluster");
    let api: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), namespace, &ApiResource::from_gvk(&kind));
    let postgres = api.get(&format!("{name}-postgres")).await?;
    let primary = postgres.data.pointer("/status/currentPrimary").and_then(serde_json::Value::as_str);
    Ok(primary.context("the Postgres has no primary")?.to_owned())
}

/// The login that the sample's cluster has.
pub async fn read_login(cluster: &Cluster) -> anyhow::Result<Secret> {
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE);
    secrets.get(LOGIN).await.context("reading the sample's login to Postgres")
}

/// Runs statements in one session of a database, as the owner of all of them, and gives the rows: columns are separated by `|`.
pub async fn run(cluster: &Cluster, database: &str, statements: &[&str]) -> anyhow::Result<String> {
    let login = read_login(cluster).await?;
    let entry = |key: &str| {
        let value = login.data.as_ref().and_then(|data| data.get(key));
        let value = value.with_context(|| format!("Secret {} has no key {key}", login.name_any()))?;
        anyhow::Ok(String::from_utf8(value.0.clone())?)
    };
    let (username, password) = (entry("username")?, entry("password")?);
    let mut psql = tokio::process::Command::new("kubectl");
    psql.arg("--kubeconfig")
        .arg(&cluster.kubeconfig)
        .args(["--namespace", NAMESPACE, "exec", POD, "--", "env", &format!("PGPASSWORD={password}")])
        .args(["psql", "-h", "127.0.0.1", "-U", &username, "-d", database]);
    ask(psql, statements).await
}

async fn ask(mut psql: tokio::process::Command, statements: &[&str]) -> anyhow::Result<String> {
    psql.args(["--quiet", "--no-align", "--tuples-only", "-v", "ON_ERROR_STOP=1"]);
    for statement in statements {
        psql.args(["-c", statement]);
    }
    let output = psql.output().await.context("starting kubectl")?;
    anyhow::ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// Makes this database anew, without anything in it.
pub async fn recreate(cluster: &Cluster, database: &str) -> anyhow::Result<()> {
    drop_database(cluster, database).await?;
    run(cluster, "postgres", &[&format!("create database {database}")]).await.map(drop)
}

/// Removes this database, also one that somebody is connected to.
pub async fn drop_database(cluster: &Cluster, database: &str) -> anyhow::Result<()> {
    run(cluster, "postgres", &[&format!("drop database if exists {database} with (force)")]).await.map(drop)
}
