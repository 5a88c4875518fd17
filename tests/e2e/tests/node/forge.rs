//! The git server of the local cluster (`./dev git`), as an application team uses it: pushes from outside, a Secret for the operator.

use anyhow::{Context as _, bail};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use tempfile::TempDir;
use test_support::git_server::GitRepository;
use tokio::process::Command;

use e2e::cluster::Cluster;

const NAMESPACE: &str = "git-server";
/// In pods.
const HOST: &str = "git.git-server.svc";
/// Where the local cluster's node is: its Service is reached from the host.
const OUTSIDE: &str = "10.96.0.30";

/// A repository on the server, and a clone of it.
pub(crate) struct Forge {
    repository: String,
    clone: GitRepository,
    password: String,
    authority: Vec<u8>,
    folder: TempDir,
}

impl Forge {
    /// An empty repository, whose name begins like this.
    ///
    /// # Errors
    /// If there is no such server, or it refuses.
    pub(crate) async fn empty(cluster: &Cluster, prefix: &str) -> anyhow::Result<Self> {
        let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), NAMESPACE);
        let writer = secrets.get("git-writer").await.context("the git server is made by `./dev git`")?;
        let data = writer.data.unwrap_or_default();
        let value = |key: &str| data.get(key).map(|ByteString(bytes)| bytes.clone()).unwrap_or_default();
        let folder = tempfile::tempdir()?;
        let authority = value("ca.crt");
        std::fs::write(folder.path().join("ca.crt"), &authority)?;
        // The server removes none, and a former run may have left one.
        let unique = folder.path().file_name().map(|name| name.to_string_lossy().replace('.', ""));
        let repository = format!("{prefix}-{}", unique.unwrap_or_default());
        let output = Command::new("kubectl")
            .args(["exec", "--namespace", NAMESPACE, "deploy/git", "--", "create-repository", &repository])
            .env("KUBECONFIG", &cluster.kubeconfig)
            .output()
            .await?;
        if !output.status.success() {
            bail!("making the repository failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(Self {
            repository,
            clone: GitRepository::at(&folder.path().join("clone")),
            password: String::from_utf8(value("password"))?,
            authority,
            folder,
        })
    }

    /// The URL that a WorkflowProcess names.
    pub(crate) fn url(&self) -> String {
        format!("https://{HOST}/{}.git", self.repository)
    }

    /// Commits this file as all that there is and pushes it. The id of the commit.
    pub(crate) fn push(&self, path: &str, content: &str) -> String {
        let commit = self.clone.commit("main", &[(path, content.as_bytes())]);
        self.publish();
        commit
    }

    /// Goes back to a former commit, and pushes that by force.
    pub(crate) fn go_back(&self, commit: &str) {
        self.clone.move_branch("main", commit);
        self.publish();
    }

    fn publish(&self) {
        let url = format!("https://writer:{}@{OUTSIDE}/{}.git", self.password, self.repository);
        let authority = self.folder.path().join("ca.crt");
        let trust = format!("http.sslCAInfo={}", authority.display());
        self.clone.git(&["-c", &trust, "push", "--quiet", "--force", &url, "main:main"], b"");
    }

    /// What the operator fetches with: the Secret of the user `reader`, for the server's host.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) async fn secret(
        &self,
        cluster: &Cluster,
        name: &str,
        namespace: &str,
    ) -> anyhow::Result<serde_json::Value> {
        let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), NAMESPACE);
        let reader = secrets.get("git-reader").await?;
        let data = reader.data.unwrap_or_default();
        let text = |key: &str| -> anyhow::Result<String> {
            let bytes = data.get(key).with_context(|| format!("git-reader has no {key}"))?;
            Ok(String::from_utf8(bytes.0.clone())?)
        };
        Ok(serde_json::json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "annotations": {"workflow.example.com/git-host": HOST},
            },
            "stringData": {
                "username": text("username")?,
                "password": text("password")?,
                "ca.crt": String::from_utf8(self.authority.clone())?,
            },
        }))
    }
}
