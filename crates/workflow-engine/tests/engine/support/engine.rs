use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use engine_api::{Credential, EngineAccess, EngineAddress, EngineTls, TenantEpoch, TenantKey, TokenRole};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use super::FIRST_EPOCH;
use super::caller::{Bearer, Caller};

/// One serving process.
pub(crate) struct Engine {
    pub(super) child: Option<Child>,
    pub(super) log: PathBuf,
    pub(crate) api: u16,
    pub(crate) admin: u16,
    pub(super) ca_pem: String,
    pub(super) controller: String,
    pub(super) monitor: String,
    pub(super) worker_key: TenantKey,
    pub(super) client_key: TenantKey,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Engine {
    /// Sends SIGKILL and waits.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends SIGTERM and waits for the exit status.
    pub(crate) fn terminate(&mut self) -> std::process::ExitStatus {
        self.tell_to_end();
        self.await_end()
    }

    /// Sends SIGTERM.
    pub(crate) fn tell_to_end(&self) {
        let pid = self.child.as_ref().expect("should run").id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("should run").success());
    }

    /// Waits for the exit status.
    pub(crate) fn await_end(&mut self) -> std::process::ExitStatus {
        self.child.take().expect("should run").wait().expect("should end")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(super) async fn await_listening(&self) {
        for _ in 0..400 {
            if self.admin_get("/livez").await.is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the engine does not listen:\n{}", self.log());
    }

    pub(crate) async fn await_ready(&self) {
        for _ in 0..400 {
            if self.readiness().await.0 == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the engine is not ready: {:?}\n{}", self.readiness().await, self.log());
    }

    /// HTTP status and reason of `/readyz`.
    pub(crate) async fn readiness(&self) -> (u16, String) {
        self.admin_get("/readyz").await.unwrap_or((0, "no answer".to_owned()))
    }

    /// A GET on the admin port.
    pub(crate) async fn admin_get(&self, path: &str) -> Option<(u16, String)> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.admin)).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let code = answer.split(' ').nth(1)?.parse().ok()?;
        let body = answer.split_once("\r\n\r\n")?.1.to_owned();
        Some((code, body))
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.ca_pem))
            .domain_name("localhost");
        Endpoint::from_shared(format!("https://127.0.0.1:{}", self.api))
            .and_then(|endpoint| endpoint.tls_config(tls))
            .expect("should be an endpoint")
            .connect_timeout(Duration::from_secs(5))
    }

    /// Address and credential of a controller's client.
    pub(crate) fn access(&self) -> EngineAccess {
        let tls = Some(EngineTls { ca_pem: self.ca_pem.clone(), server_name: Some("localhost".to_owned()) });
        let address = EngineAddress { host: "127.0.0.1".to_owned(), port: self.api, tls };
        EngineAccess { address, credential: Credential::parse(&self.controller).expect("should be a token") }
    }

    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub(crate) fn controller_token(&self) -> &str {
        &self.controller
    }

    pub(crate) fn monitor_token(&self) -> &str {
        &self.monitor
    }

    pub(crate) fn caller(&self, token: Option<&str>) -> Caller {
        let authorization =
            token.map(|token| format!("Bearer {token}").parse().expect("should be a header value"));
        Caller { channel: self.endpoint().connect_lazy(), bearer: Bearer { authorization } }
    }

    pub(crate) fn controller(&self) -> Caller {
        self.caller(Some(&self.controller))
    }

    pub(crate) fn monitor(&self) -> Caller {
        self.caller(Some(&self.monitor))
    }

    /// A worker of a tenant that [`Caller::put_tenant`] created.
    pub(crate) fn worker(&self, tenant_id: &str) -> Caller {
        self.caller(Some(&self.worker_token(tenant_id, first_epoch(tenant_id))))
    }

    /// A client of a tenant that [`Caller::put_tenant`] created.
    pub(crate) fn client(&self, tenant_id: &str) -> Caller {
        self.caller(Some(&self.client_token(tenant_id, first_epoch(tenant_id))))
    }

    pub(crate) fn worker_token(&self, tenant_id: &str, epoch: &str) -> String {
        minted(&self.worker_key, TokenRole::Worker, tenant_id, epoch)
    }

    pub(crate) fn client_token(&self, tenant_id: &str, epoch: &str) -> String {
        minted(&self.client_key, TokenRole::Client, tenant_id, epoch)
    }
}

/// The engine's own tenants have no owner, and so an empty epoch.
fn first_epoch(tenant_id: &str) -> &'static str {
    if tenant_id.starts_with('_') { "" } else { FIRST_EPOCH }
}

pub(crate) fn minted(key: &TenantKey, role: TokenRole, tenant_id: &str, epoch: &str) -> String {
    let tenant = TenantEpoch { tenant_id: tenant_id.to_owned(), epoch: epoch.to_owned() };
    key.mint(role, &tenant).expose().to_owned()
}
