//! A real etcd and kube-apiserver, and on request a kube-controller-manager: no node, so no pod ever runs.
//!
//! ```no_run
//! # async fn example() {
//! use k8s_openapi::api::core::v1::ConfigMap;
//! use kube::{Api, api::ListParams};
//!
//! let apiserver = test_support::require_apiserver!();
//! let namespace = apiserver.namespace("orders").await;
//! let nobody = apiserver.client_for("jane", &["developers"]).await;
//! let config_maps: Api<ConfigMap> = Api::namespaced(nobody, &namespace);
//! let refused = config_maps.list(&ListParams::default()).await.unwrap_err();
//! # }
//! ```
//!
//! The programs come from the folder in `KUBEBUILDER_ASSETS`. Everything listens on 127.0.0.1, has its data in a
//! temporary folder and ends with the test process. RBAC is on. The ServiceAccount admission plugin is off, so that
//! pods can be created without a controller-manager.
//!
//! An aggregated API of the test's own process is reached through an ExternalName Service to `localhost`
//! ([`TestApiServer::expose_on_loopback`]); that needs aggregator routing to be off, as it is by default.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::certificates::TestCertificate;
use crate::gate;
use crate::guarded::{GuardedFolder, GuardedProcess};
use crate::wait::await_condition;

mod control_plane;
#[cfg(test)]
mod tests;

/// Set to `1`, a run without `KUBEBUILDER_ASSETS` fails the test instead of skipping it. `CI=true` does the same.
pub const REQUIRE: &str = "REQUIRE_APISERVER";

/// Each process takes about two seconds to start on two busy cores; this is for an overloaded machine.
const START_TIMEOUT: Duration = Duration::from_mins(2);
const FIELD_MANAGER: &str = "test-support";

/// How the control plane is set up.
#[derive(Clone, Debug, Default)]
pub struct ApiServerOptions {
    /// Further flags of the kube-apiserver, as `--name=value`.
    pub apiserver_flags: Vec<String>,
    /// Start a kube-controller-manager with these further flags: for garbage collection, workload and HPA controllers
    /// (the HPA controller works every 2 s).
    pub controller_manager_flags: Option<Vec<String>>,
}

/// A running control plane. Dropping it ends it and removes its data.
pub struct TestApiServer {
    // The order is the order of drop: clients end before their servers, and the folder last.
    controller_manager: Option<GuardedProcess>,
    apiserver: Option<GuardedProcess>,
    _etcd: GuardedProcess,
    folder: GuardedFolder,
    assets: PathBuf,
    port: u16,
    etcd_port: u16,
    options: ApiServerOptions,
    front_proxy: FrontProxy,
    namespaces: AtomicU32,
}

/// What the apiserver shows to an aggregated API to prove that it is the apiserver.
#[derive(Clone)]
pub struct FrontProxy {
    /// The authority that an aggregated API finds in `kube-system/extension-apiserver-authentication`, PEM.
    pub ca_pem: String,
    /// The same in a file.
    pub ca_file: PathBuf,
    /// The apiserver's client certificate, with the common name `front-proxy-client`.
    pub client: TestCertificate,
    /// Its certificate in a file.
    pub certificate_file: PathBuf,
    /// Its key in a file.
    pub key_file: PathBuf,
}

/// The apiserver shared by all tests of this binary, or a skip: `let apiserver = require_apiserver!();`
#[macro_export]
macro_rules! require_apiserver {
    () => {
        match $crate::apiserver::TestApiServer::shared().await {
            Some(apiserver) => apiserver,
            None => return,
        }
    };
}

/// As [`require_apiserver!`], with a kube-controller-manager: objects are garbage-collected, Deployments make pods.
#[macro_export]
macro_rules! require_controller_manager {
    () => {
        match $crate::apiserver::TestApiServer::shared_with_controller_manager().await {
            Some(apiserver) => apiserver,
            None => return,
        }
    };
}

impl TestApiServer {
    /// The apiserver that all tests of this binary share, started by the first; `None`, with a line on stderr,
    /// when `KUBEBUILDER_ASSETS` is not set. Use only your own [`TestApiServer::namespace`] in it.
    pub async fn shared() -> Option<&'static Self> {
        static SHARED: OnceCell<Option<TestApiServer>> = OnceCell::const_new();
        present(SHARED.get_or_init(|| Self::start_if_there(ApiServerOptions::default())).await.as_ref())
    }

    /// The same with a kube-controller-manager.
    pub async fn shared_with_controller_manager() -> Option<&'static Self> {
        static SHARED: OnceCell<Option<TestApiServer>> = OnceCell::const_new();
        let options =
            ApiServerOptions { controller_manager_flags: Some(Vec::new()), ..ApiServerOptions::default() };
        present(SHARED.get_or_init(|| Self::start_if_there(options)).await.as_ref())
    }

    /// A control plane of one's own; `None` as for [`TestApiServer::shared`].
    pub async fn start(options: ApiServerOptions) -> Option<Self> {
        present(Self::start_if_there(options).await)
    }

    async fn start_if_there(options: ApiServerOptions) -> Option<Self> {
        let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from)?;
        match control_plane::start(assets, options).await {
            Ok(apiserver) => Some(apiserver),
            Err(why) => panic!("the control plane does not start: {why}"),
        }
    }

    /// Stops the kube-apiserver and waits until it is gone; etcd keeps the data.
    pub fn stop(&mut self) {
        self.apiserver = None;
    }

    /// Starts a stopped kube-apiserver again, at the same address, and waits until it is ready.
    pub async fn start_again(&mut self) {
        assert!(self.apiserver.is_none(), "the apiserver was not stopped");
        if let Err(why) = self.start_apiserver().await {
            panic!("the apiserver does not start again: {why}");
        }
    }

    /// A client with every right. Each test takes its own: a client's connections belong to the runtime of one test.
    pub async fn client(&self) -> Client {
        self.connect(self.kubeconfig_text(None)).await
    }

    /// A client as this user in these groups (and in `system:authenticated`), by impersonation: RBAC decides as for
    /// the user itself. For a service account give `system:serviceaccount:<namespace>:<name>` and no groups.
    pub async fn client_for(&self, user: &str, groups: &[&str]) -> Client {
        self.connect(self.kubeconfig_text(Some((user, groups)))).await
    }

    /// A kubeconfig file with every right, for programs.
    pub fn kubeconfig(&self) -> PathBuf {
        self.write_kubeconfig("admin", &self.kubeconfig_text(None))
    }

    /// A kubeconfig file as this user, for programs. See [`TestApiServer::client_for`].
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> PathBuf {
        self.write_kubeconfig(&user.replace(['/', ':'], "-"), &self.kubeconfig_text(Some((user, groups))))
    }

    /// `https://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The file of the authority that signed the apiserver's certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.file("ca.crt")
    }

    /// The apiserver's identity towards aggregated APIs.
    pub fn front_proxy(&self) -> &FrontProxy {
        &self.front_proxy
    }

    /// Creates a namespace that no other test has, and returns its name.
    pub async fn namespace(&self, prefix: &str) -> String {
        let name = format!("{prefix}-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.clone());
        let api: Api<Namespace> = Api::all(self.client().await);
        let created = api.create(&PostParams::default(), &namespace).await;
        created.expect("a namespace should be created");
        name
    }

    /// Installs CRDs and waits until they are served.
    pub async fn apply_crds(&self, crds: &[CustomResourceDefinition]) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client().await);
        for crd in crds {
            let name = crd.name_any();
            let params = PatchParams::apply(FIELD_MANAGER).force();
            if let Err(error) = api.patch(&name, &params, &Patch::Apply(crd)).await {
                panic!("the apiserver refuses the CRD {name}: {error}");
            }
        }
        for crd in crds {
            let established = |crd: &CustomResourceDefinition| {
                let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_ref());
                conditions
                    .is_some_and(|all| all.iter().any(|c| c.type_ == "Established" && c.status == "True"))
            };
            await_condition(&api, &crd.name_any(), Duration::from_secs(30), "is established", established)
                .await;
        }
    }

    /// Creates a Service in that namespace that resolves to 127.0.0.1 for the apiserver, so that an APIService may name
    /// it with the port that the test listens on. The certificate there must be for `<service>.<namespace>.svc`.
    pub async fn expose_on_loopback(&self, namespace: &str, service: &str) {
        let object = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": service},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        });
        let api: Api<Service> = Api::namespaced(self.client().await, namespace);
        let applied = api.patch(service, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(object)).await;
        applied.expect("a Service should be created");
    }

    async fn connect(&self, kubeconfig: String) -> Client {
        let kubeconfig = Kubeconfig::from_yaml(&kubeconfig).expect("the kubeconfig should be readable");
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let config = config.expect("the kubeconfig should be complete");
        Client::try_from(config).expect("the kubeconfig should make a client")
    }

    fn kubeconfig_text(&self, impersonate: Option<(&str, &[&str])>) -> String {
        let mut user = json!({
            "client-certificate": self.file("admin.crt"),
            "client-key": self.file("admin.key"),
        });
        if let Some((name, groups)) = impersonate {
            user["as"] = name.into();
            if !groups.is_empty() {
                user["as-groups"] = json!(groups);
            }
        }
        self.kubeconfig_of(&user)
    }

    fn kubeconfig_of(&self, user: &serde_json::Value) -> String {
        let cluster = json!({"server": self.url(), "certificate-authority": self.ca_file()});
        // JSON is YAML.
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        })
        .to_string()
    }

    fn write_kubeconfig(&self, name: &str, content: &str) -> PathBuf {
        let path = self.file(&format!("{name}.kubeconfig"));
        std::fs::write(&path, content).expect("a kubeconfig should be written");
        path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn present<T>(found: Option<T>) -> Option<T> {
    gate::present_or_skipped(found, REQUIRE, "KUBEBUILDER_ASSETS is not set (run `just test-apiserver`)")
}
