//! The fake over real gRPC.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, future, stream::BoxStream};
use tokio::{net::TcpListener, runtime::Runtime};
use tonic::{
    Request, Response, Status,
    service::{Interceptor, interceptor::InterceptorLayer},
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

use super::FakeEngine;
use engine_api::{
    proto::{
        cluster_service_server::ClusterServiceServer, job_service_server::JobServiceServer,
        process_service_server::ProcessServiceServer,
    },
    refusal,
};
use engine_client::{
    Credential, CredentialVerifier, Engine, EngineAccess, EngineAddress, EngineError, EngineTls, ErrorClass,
    Operation, Role,
};

mod services;

/// A fake engine that listens on loopback, on threads of its own. Dropping it is like killing it: connections break.
#[derive(Debug)]
pub struct FakeServer {
    address: SocketAddr,
    tls: Option<EngineTls>,
    runtime: Option<Runtime>,
}

/// How a [`FakeServer`] listens.
#[derive(Debug)]
pub struct FakeServerBuilder {
    engine: FakeEngine,
    port: u16,
    tls_name: Option<String>,
    verifier: Option<CredentialVerifier>,
}

impl FakeServer {
    /// Serves without TLS on a free port, whoever calls.
    pub fn start(engine: &FakeEngine) -> io::Result<Self> {
        Self::builder(engine).start()
    }

    /// Serves in another way.
    pub fn builder(engine: &FakeEngine) -> FakeServerBuilder {
        FakeServerBuilder { engine: engine.clone(), port: 0, tls_name: None, verifier: None }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where it is and how it proves to be it.
    pub fn address(&self) -> EngineAddress {
        EngineAddress {
            host: self.address.ip().to_string(),
            port: self.address.port(),
            tls: self.tls.clone(),
        }
    }

    /// Everything a connection with this credential needs.
    pub fn access(&self, credential: Credential) -> EngineAccess {
        EngineAccess { address: self.address(), credential }
    }

    /// Kills it and waits until its port is free.
    pub fn stop(mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime may only be waited for outside of another one's threads.
            let stopping = std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5)));
            let _ = stopping.join();
        }
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl FakeServerBuilder {
    /// Listens on this port instead of a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Serves TLS with a new certificate for this name, signed by a new authority.
    #[must_use]
    pub fn tls(mut self, name: &str) -> Self {
        self.tls_name = Some(name.to_owned());
        self
    }

    /// Refuses whoever has no token.
    #[must_use]
    pub fn verifier(mut self, verifier: CredentialVerifier) -> Self {
        self.verifier = Some(verifier);
        self
    }

    /// Listens.
    pub fn start(self) -> io::Result<FakeServer> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, self.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let mut server = Server::builder();
        let mut tls = None;
        if let Some(name) = self.tls_name {
            let certified = Certified::issue(&name).map_err(io::Error::other)?;
            let identity = Identity::from_pem(certified.certificate, certified.key);
            server =
                server.tls_config(ServerTlsConfig::new().identity(identity)).map_err(io::Error::other)?;
            tls = Some(EngineTls { ca_pem: certified.authority, server_name: Some(name) });
        }
        let Self { engine, verifier, .. } = self;
        let services = server
            .layer(InterceptorLayer::new(Gate { engine: engine.clone(), verifier: verifier.map(Arc::new) }))
            .add_service(ClusterServiceServer::new(engine.clone()))
            .add_service(ProcessServiceServer::new(engine.clone()))
            .add_service(JobServiceServer::new(engine));
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).map_err(io::Error::other)?;
            services.serve_with_incoming(TcpIncoming::from(listener)).await.map_err(io::Error::other)
        });
        Ok(FakeServer { address, tls, runtime: Some(runtime) })
    }
}

/// PEM of a certificate, its key and its authority.
struct Certified {
    authority: String,
    certificate: String,
    key: String,
}

impl Certified {
    fn issue(name: &str) -> Result<Self, rcgen::Error> {
        let ca_key = rcgen::KeyPair::generate()?;
        let mut ca = rcgen::CertificateParams::new([])?;
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = ca.self_signed(&ca_key)?.pem();
        let key = rcgen::KeyPair::generate()?;
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let certificate = rcgen::CertificateParams::new([name.to_owned()])?.signed_by(&key, &issuer)?;
        Ok(Self { authority, certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// Lets in whoever has a token, or everybody. A tenant's token must be of its present life.
#[derive(Clone)]
struct Gate {
    engine: FakeEngine,
    verifier: Option<Arc<CredentialVerifier>>,
}

impl Gate {
    fn is_open(&self, role: Option<Role>) -> bool {
        match role {
            None => false,
            Some(Role::Controller | Role::Monitor) => true,
            Some(Role::Worker(token) | Role::Client(token)) => {
                let owner = self.engine.tenant(&token.tenant_id).and_then(|tenant| tenant.owner);
                owner.map(|owner| owner.uid).unwrap_or_default() == token.epoch
            }
        }
    }
}

impl Interceptor for Gate {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(verifier) = &self.verifier else { return Ok(request) };
        let authorization = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        if self.is_open(authorization.and_then(|value| verifier.verify(value))) {
            Ok(request)
        } else {
            Err(Status::unauthenticated("token is unknown, or of a former life of its tenant"))
        }
    }
}

impl FakeEngine {
    /// The answer to a call, or none at all.
    async fn answer<Model, Wire>(
        &self,
        call: impl Future<Output = Result<Model, EngineError>>,
    ) -> Result<Response<Wire>, Status>
    where
        Wire: From<Model>,
    {
        if self.is_hanging() {
            return future::pending().await;
        }
        call.await.map(|model| Response::new(model.into())).map_err(|error| status(&error))
    }

    /// The messages of a stream; when the fake hangs, silence.
    fn answers<Model, Wire>(
        &self,
        messages: BoxStream<'static, Result<Model, EngineError>>,
    ) -> Response<BoxStream<'static, Result<Wire, Status>>>
    where
        Model: Send + 'static,
        Wire: From<Model> + Send + 'static,
    {
        let engine = self.clone();
        let wired = messages.then(move |message| {
            let engine = engine.clone();
            async move {
                if engine.is_hanging() {
                    return future::pending().await;
                }
                message.map(Wire::from).map_err(|error| status(&error))
            }
        });
        Response::new(wired.boxed())
    }
}

fn status(error: &EngineError) -> Status {
    let message = error.message().to_owned();
    match error.class() {
        ErrorClass::Invalid => Status::invalid_argument(message),
        ErrorClass::NotFound => Status::not_found(message),
        ErrorClass::AlreadyOwned => Status::already_exists(message),
        ErrorClass::Stale => Status::aborted(message),
        ErrorClass::QuotaExceeded { quota, limit, current } => {
            refusal::quota_exceeded("-", *quota, *limit, *current)
        }
        ErrorClass::Precondition { reason } => refusal::precondition(reason, message),
        ErrorClass::Unavailable => Status::unavailable(message),
        ErrorClass::Denied => Status::permission_denied(message),
        ErrorClass::Unsupported => Status::unimplemented(message),
        ErrorClass::Corrupt => Status::data_loss(message),
        ErrorClass::Internal => Status::internal(message),
    }
}

/// What a "get" says about what is not there.
fn found<T>(operation: Operation, maybe: Option<T>) -> Result<T, EngineError> {
    maybe.ok_or_else(|| EngineError::new(operation, ErrorClass::NotFound, "it does not exist"))
}
