//! Tokens: from files to roles, and from the files again when they change.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use engine_client::{
    Accepted, CLIENT_KEY, CONTROLLER_TOKEN, CURRENT, Credential, CredentialError, CredentialVerifier,
    FENCE_HEADER, MONITOR_TOKEN, NEXT, PREVIOUS, Role, TenantKey, WORKER_KEY, WRITER_HEADER,
};
use http::header::AUTHORIZATION;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::digest;
use crate::engine::Fence;
use crate::metrics::Metrics;
use crate::serve::connections;

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
    let mut content = String::new();
    let accepted = Accepted {
        controller: read_accepted(directory, CONTROLLER_TOKEN, Credential::parse, &mut content)?,
        monitor: read_accepted(directory, MONITOR_TOKEN, Credential::parse, &mut content)?,
        worker: read_accepted(directory, WORKER_KEY, TenantKey::parse, &mut content)?,
        client: read_accepted(directory, CLIENT_KEY, TenantKey::parse, &mut content)?,
    };
    let verifier = CredentialVerifier::new(accepted)
        .map_err(|source| Error::Unusable { path: directory.to_owned(), source })?;
    Ok((Arc::new(verifier), digest::sha256(content.as_bytes())))
}

/// The current secret, and while it is being replaced the other one; the text of all is added to `content`.
fn read_accepted<T>(
    directory: &Path,
    name: &str,
    parse: impl Fn(&str) -> Result<T, CredentialError>,
    content: &mut String,
) -> Result<Vec<T>, Error> {
    let mut accepted = Vec::new();
    for file in [CURRENT, NEXT, PREVIOUS] {
        let path = directory.join(name).join(file);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                accepted.push(parse(&text).map_err(|source| Error::Unusable { path, source })?);
                content.push_str(&text);
            }
            Err(error) if file != CURRENT && error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(Error::Read { path, source }),
        }
        content.push('\0');
    }
    Ok(accepted)
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
        connections::mark_known(request.extensions());
        if role == Role::Controller
            && let Some(fence) = read_fence(request.metadata())?
        {
            request.extensions_mut().insert(fence);
        }
        request.extensions_mut().insert(role);
        Ok(request)
    }
}
