//! Maps tokens to roles, with secrets from files that are read again periodically.

mod files;

pub use files::Error;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use engine_api::{FENCE_HEADER, Role, WRITER_HEADER};
use http::header::AUTHORIZATION;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::engine::Fence;
use crate::metrics::Metrics;
use crate::serve::connections;
use files::{Secret, Secrets, Slot};

const INTERVAL: Duration = Duration::from_secs(10);

/// The secrets whose tokens are accepted now.
#[derive(Debug)]
pub struct Credentials {
    directory: PathBuf,
    secrets: RwLock<Arc<Vec<Secret>>>,
}

/// The caller's role, and when its token becomes invalid.
#[derive(Debug, Clone)]
pub struct Caller {
    pub role: Role,
    /// Cancelled when the token's secret is no longer accepted.
    pub withdrawn: CancellationToken,
}

impl Credentials {
    pub fn load(directory: PathBuf) -> Result<Self, Error> {
        let Secrets { secrets, mut obstacles } = files::read(&directory, &[]);
        // Without its current secret all callers of a role are refused, which would be noticed only when one calls.
        if let Some(fatal) = obstacles.iter().position(Error::is_about_a_current_secret) {
            return Err(obstacles.swap_remove(fatal));
        }
        for obstacle in &obstacles {
            tracing::warn!(error = %obstacle, "a credential file is left out");
        }
        Ok(Self { directory, secrets: RwLock::new(Arc::new(secrets)) })
    }

    /// The caller with this value of an `authorization` header, and which of the role's secrets accepted it.
    fn verify(&self, authorization: &str) -> Option<(Caller, Slot)> {
        let secrets = Arc::clone(&self.secrets.read().unwrap_or_else(PoisonError::into_inner));
        secrets.iter().find_map(|secret| {
            let role = secret.verify(authorization)?;
            Some((Caller { role, withdrawn: secret.withdrawn.clone() }, secret.slot))
        })
    }

    /// Reloads the files periodically until `stop`.
    pub async fn follow(&self, stop: &CancellationToken) {
        let mut reported = Vec::new();
        while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            let obstacles = self.reload();
            // Logged once, not at every reload.
            if obstacles != reported {
                for obstacle in &obstacles {
                    tracing::warn!(error = obstacle, "a credential file cannot be used");
                }
                reported = obstacles;
            }
        }
    }

    /// Replaces the secrets by those in the files now. Returns the errors of unusable files.
    fn reload(&self) -> Vec<String> {
        let former = Arc::clone(&self.secrets.read().unwrap_or_else(PoisonError::into_inner));
        let Secrets { secrets: fresh, obstacles } = files::read(&self.directory, &former);
        let withdrawn = former.iter().filter(|former| !fresh.iter().any(|secret| secret.is_same(former)));
        let withdrawn: Vec<CancellationToken> = withdrawn.map(|former| former.withdrawn.clone()).collect();
        if !withdrawn.is_empty() || fresh.len() != former.len() {
            tracing::info!(accepted = fresh.len(), withdrawn = withdrawn.len(), "engine credentials changed");
        }
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        for token in withdrawn {
            token.cancel();
        }
        obstacles.iter().map(ToString::to_string).collect()
    }
}

/// The fence of the calling controller replica; `None` for callers without fencing.
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

/// Request extension: cancelled when the token of the request is no longer accepted.
#[derive(Debug, Clone)]
pub(super) struct Withdrawn(pub CancellationToken);

/// Interceptor that adds the caller's role to the request's extensions, before its body is read.
#[derive(Debug, Clone)]
pub struct Authenticate {
    pub credentials: Arc<Credentials>,
    pub metrics: Metrics,
}

impl Authenticate {
    pub fn caller(&self, authorization: Option<&str>) -> Result<Caller, Status> {
        let Some((caller, slot)) = authorization.and_then(|header| self.credentials.verify(header)) else {
            self.metrics.credential_refused();
            return Err(Status::unauthenticated("a valid bearer token is required"));
        };
        if slot == Slot::Previous {
            self.metrics.called_with_previous_secret(&caller.role);
        }
        Ok(caller)
    }
}

impl Interceptor for Authenticate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = request.metadata().get(AUTHORIZATION.as_str()).and_then(|value| value.to_str().ok());
        let Caller { role, withdrawn } = self.caller(header)?;
        connections::mark_known(request.extensions());
        if role == Role::Controller
            && let Some(fence) = read_fence(request.metadata())?
        {
            request.extensions_mut().insert(fence);
        }
        request.extensions_mut().insert(role);
        request.extensions_mut().insert(Withdrawn(withdrawn));
        Ok(request)
    }
}

#[cfg(test)]
mod tests;
