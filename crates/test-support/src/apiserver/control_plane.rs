//! Certificates, flags and start order of the control plane.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{ApiServerOptions, FrontProxy, START_TIMEOUT, TestApiServer};
use crate::certificates::{TestCa, TestCertificate, generate_key};
use crate::guarded::{GuardedFolder, GuardedProcess, free_port};

/// The API server's own Service is the first address.
const SERVICE_CIDR: &str = "10.0.0.0/24";
const KUBERNETES_SERVICE_IP: &str = "10.0.0.1";

pub(super) async fn start(assets: PathBuf, options: ApiServerOptions) -> Result<TestApiServer, String> {
    for name in ["etcd", "kube-apiserver"] {
        let path = assets.join(name);
        if !path.is_file() {
            return Err(format!("KUBEBUILDER_ASSETS has no {}", path.display()));
        }
    }
    let folder = GuardedFolder::create("test-apiserver-", None)
        .map_err(|error| format!("no temporary folder: {error}"))?;
    let front_proxy = write_certificates(folder.path())?;
    let (etcd, etcd_port) = start_etcd(&assets, folder.path()).await?;
    let mut apiserver = TestApiServer {
        controller_manager: None,
        apiserver: None,
        _etcd: etcd,
        folder,
        assets,
        port: 0,
        etcd_port,
        options,
        front_proxy,
        namespaces: AtomicU32::new(0),
    };
    // Between finding a port free and listening on it another process may take it.
    for attempt in 1.. {
        apiserver.port = free_port().map_err(|error| error.to_string())?;
        match apiserver.start_apiserver().await {
            Ok(()) => break,
            Err(why) if attempt == 3 => return Err(why),
            Err(_) => {}
        }
    }
    apiserver.start_controller_manager().await?;
    Ok(apiserver)
}

impl TestApiServer {
    pub(super) async fn start_apiserver(&mut self) -> Result<(), String> {
        let file = |name: &str| self.file(name).display().to_string();
        let mut flags = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.port),
            format!("--service-cluster-ip-range={SERVICE_CIDR}"),
            "--allow-privileged=true".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-signing-key-file={}", file("service-account.key")),
            format!("--service-account-key-file={}", file("service-account.pub")),
            format!("--client-ca-file={}", file("ca.crt")),
            format!("--tls-cert-file={}", file("apiserver.crt")),
            format!("--tls-private-key-file={}", file("apiserver.key")),
            format!("--requestheader-client-ca-file={}", file("front-proxy-ca.crt")),
            "--requestheader-allowed-names=front-proxy-client".to_owned(),
            "--requestheader-username-headers=X-Remote-User".to_owned(),
            "--requestheader-group-headers=X-Remote-Group".to_owned(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
            format!("--proxy-client-cert-file={}", file("front-proxy-client.crt")),
            format!("--proxy-client-key-file={}", file("front-proxy-client.key")),
        ];
        flags.extend(self.options.apiserver_flags.iter().cloned());
        let log = self.file("kube-apiserver.log");
        // KILL: its graceful end waits for open watches, and it has no data of its own.
        let mut process =
            GuardedProcess::start(&self.assets.join("kube-apiserver"), &flags, "KILL", None, &log)
                .map_err(|error| format!("kube-apiserver: {error}"))?;
        let client = self.client().await;
        await_ready("kube-apiserver", &mut process, async || {
            let request =
                http::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
            client.request_text(request).await.map_err(|error| error.to_string())
        })
        .await?;
        self.apiserver = Some(process);
        Ok(())
    }

    async fn start_controller_manager(&mut self) -> Result<(), String> {
        let Some(further) = &self.options.controller_manager_flags else { return Ok(()) };
        let user = json!({
            "client-certificate": self.file("controller-manager.crt"),
            "client-key": self.file("controller-manager.key"),
        });
        let kubeconfig = self.write_kubeconfig("controller-manager", &self.kubeconfig_of(&user));
        let file = |name: &str| self.file(name).display().to_string();
        let port = free_port().map_err(|error| error.to_string())?;
        let mut flags = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--authentication-kubeconfig={}", kubeconfig.display()),
            format!("--authorization-kubeconfig={}", kubeconfig.display()),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!("--cert-dir={}", self.folder.path().display()),
            format!("--service-account-private-key-file={}", file("service-account.key")),
            format!("--root-ca-file={}", file("ca.crt")),
            "--use-service-account-credentials=true".to_owned(),
            "--leader-elect=false".to_owned(),
            "--horizontal-pod-autoscaler-sync-period=2s".to_owned(),
        ];
        flags.extend(further.iter().cloned());
        let log = self.file("kube-controller-manager.log");
        let program = self.assets.join("kube-controller-manager");
        let mut process = GuardedProcess::start(&program, &flags, "KILL", None, &log)
            .map_err(|error| format!("{}: {error}", program.display()))?;
        // The ServiceAccount is the first object that it creates; before that it serves nothing to wait for.
        let client = self.client().await;
        await_ready("kube-controller-manager", &mut process, async || {
            let accounts: kube::Api<k8s_openapi::api::core::v1::ServiceAccount> =
                kube::Api::namespaced(client.clone(), "default");
            accounts.get("default").await.map_err(|error| error.to_string())
        })
        .await?;
        self.controller_manager = Some(process);
        Ok(())
    }
}

async fn start_etcd(assets: &Path, folder: &Path) -> Result<(GuardedProcess, u16), String> {
    let mut attempts = 3;
    loop {
        let port = free_port().map_err(|error| error.to_string())?;
        let url = format!("http://127.0.0.1:{port}");
        let flags = [
            format!("--data-dir={}", folder.join("etcd").display()),
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            // A single member needs no peer port; 0 takes any.
            "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
            "--unsafe-no-fsync".to_owned(),
        ];
        let mut process =
            GuardedProcess::start(&assets.join("etcd"), &flags, "KILL", None, &folder.join("etcd.log"))
                .map_err(|error| format!("etcd: {error}"))?;
        let listening = await_ready("etcd", &mut process, async || {
            let connection = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
            connection.map(drop).map_err(|error| error.to_string())
        })
        .await;
        attempts -= 1;
        match listening {
            Ok(()) => return Ok((process, port)),
            Err(why) if attempts == 0 => return Err(why),
            Err(_) => {}
        }
    }
}

async fn await_ready<T>(
    what: &str,
    process: &mut GuardedProcess,
    probe: impl AsyncFn() -> Result<T, String>,
) -> Result<(), String> {
    let start = Instant::now();
    loop {
        // Read before the probe: the probe could be answered by another process that took the port.
        let exited = process.exited().map_err(|error| error.to_string())?;
        let answer = probe().await;
        match (answer, exited) {
            (Ok(_), None) => return Ok(()),
            (Err(why), None) if start.elapsed() > START_TIMEOUT => {
                return Err(format!("{what} is not ready: {why}\n{}", process.log_tail()));
            }
            (_, Some(status)) => return Err(format!("{what} ended, {status}:\n{}", process.log_tail())),
            (Err(_), None) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

fn write_certificates(folder: &Path) -> Result<FrontProxy, String> {
    let write = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok::<PathBuf, String>(path)
    };
    let write_pair = |name: &str, certificate: &TestCertificate| {
        let files = (
            write(&format!("{name}.crt"), &certificate.certificate_pem)?,
            write(&format!("{name}.key"), &certificate.key_pem)?,
        );
        Ok::<_, String>(files)
    };
    let ca = TestCa::new("test-apiserver");
    write("ca.crt", &ca.pem())?;
    let names = ["127.0.0.1", "localhost", "kubernetes.default.svc", KUBERNETES_SERVICE_IP];
    write_pair("apiserver", &ca.server(&names))?;
    write_pair("admin", &ca.client("test-admin", Some("system:masters")))?;
    write_pair("controller-manager", &ca.client("system:kube-controller-manager", None))?;

    let service_account = generate_key();
    write("service-account.key", &service_account.serialize_pem())?;
    write("service-account.pub", &service_account.public_key_pem())?;

    let front_proxy_ca = TestCa::new("test-front-proxy");
    let client = front_proxy_ca.client("front-proxy-client", None);
    let ca_file = write("front-proxy-ca.crt", &front_proxy_ca.pem())?;
    let (certificate_file, key_file) = write_pair("front-proxy-client", &client)?;
    Ok(FrontProxy { ca_pem: front_proxy_ca.pem(), ca_file, client, certificate_file, key_file })
}
