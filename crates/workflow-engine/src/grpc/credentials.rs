//! Tokens: from files to roles, and from the files again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use engine_client::{
    CONTROLLER_TOKEN_FILE, Credential, CredentialError, CredentialVerifier, FENCE_HEADER, MONITOR_TOKEN_FILE,
    Role, WORKER_KEY_FILE, WRITER_HEADER, WorkerKey,
};
use http::header::AUTHORIZATION;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::digest;
use crate::engine::Fence;
use crate::metrics::Metrics;

const INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to read the credential file {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the credential file {} cannot be used", path.display())]
    Unusable {
        path: PathBuf,
        #[source]
        source: CredentialError,
    },
}

/// The verifier of the files' present content.
#[derive(Debug)]
pub struct Credentials {
    directory: PathBuf,
    current: RwLock<(Arc<CredentialVerifier>, [u8; 32])>,
}

impl Credentials {
    pub fn load(directory: PathBuf) -> Result<Self, Error> {
        let current = RwLock::new(read(&directory)?);
        Ok(Self { directory, current })
    }

    /// The role of an `authorization` header's value.
    pub fn verify(&self, authorization: &str) -> Option<Role> {
        let verifier = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).0);
        verifier.verify(authorization)
    }

    /// Looks at the files until stopped. Unreadable ones leave the former tokens valid: a Secret that is being
    /// replaced should lock nobody out.
    pub async fn follow(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            match read(&self.directory) {
                Ok(fresh) => {
                    let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                    if current.1 != fresh.1 {
                        *current = fresh;
                        tracing::info!("engine credentials changed");
                    }
                }
                Err(error) => tracing::warn!(error = %error, "engine credentials are unreadable"),
            }
        }
    }
}

fn read(directory: &Path) -> Result<(Arc<CredentialVerifier>, [u8; 32]), Error> {
    let text = |name: &str| {
        let path = directory.join(name);
        std::fs::read_to_string(&path).map_err(|source| Error::Read { path, source })
    };
    let unusable = |name: &str| {
        let path = directory.join(name);
        move |source| Error::Unusable { path, source }
    };
    let (controller, monitor, worker) =
        (text(CONTROLLER_TOKEN_FILE)?, text(MONITOR_TOKEN_FILE)?, text(WORKER_KEY_FILE)?);
    let content = digest::sha256(format!("{controller}\0{monitor}\0{worker}").as_bytes());
    let controller = Credential::parse(&controller).map_err(unusable(CONTROLLER_TOKEN_FILE))?;
    let monitor = Credential::parse(&monitor).map_err(unusable(MONITOR_TOKEN_FILE))?;
    let worker = WorkerKey::parse(&worker).map_err(unusable(WORKER_KEY_FILE))?;
    let verifier =
        CredentialVerifier::new(&controller, &monitor, worker).map_err(unusable(CONTROLLER_TOKEN_FILE))?;
    Ok((Arc::new(verifier), content))
}

/// Which replica of a controller calls; absent for callers of which any may write.
fn read_fence(metadata: &MetadataMap) -> Result<Option<Fence>, Status> {
    let text = |name| metadata.get(name).map(|value| value.to_str());
    match (text(WRITER_HEADER), text(FENCE_HEADER)) {
        (None, None) => Ok(None),
        (Some(Ok(writer)), Some(Ok(number))) if (1..=255).contains(&writer.len()) => {
            number.parse().map(|number| Some(Fence { writer: writer.to_owned(), number })).map_err(|_| {
                Status::invalid_argument(format!("{FENCE_HEADER} must be a whole number of 64 bits"))
            })
        }
        _ => Err(Status::invalid_argument(format!(
            "{WRITER_HEADER} (1 to 255 characters) and {FENCE_HEADER} belong together"
        ))),
    }
}

/// Puts the caller's role beside the request, before its body is read.
#[derive(Debug, Clone)]
pub struct Authenticate {
    pub credentials: Arc<Credentials>,
    pub metrics: Metrics,
}

impl Authenticate {
    pub fn role(&self, authorization: Option<&str>) -> Result<Role, Status> {
        authorization.and_then(|header| self.credentials.verify(header)).ok_or_else(|| {
            self.metrics.credential_refused();
            Status::unauthenticated("a valid bearer token is required")
        })
    }
}

impl Interceptor for Authenticate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = request.metadata().get(AUTHORIZATION.as_str()).and_then(|value| value.to_str().ok());
        let role = self.role(header)?;
        if role == Role::Controller
            && let Some(fence) = read_fence(request.metadata())?
        {
            request.extensions_mut().insert(fence);
        }
        request.extensions_mut().insert(role);
        Ok(request)
    }
}
