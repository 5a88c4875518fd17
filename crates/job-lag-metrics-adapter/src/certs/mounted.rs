//! A serving certificate from a mounted directory (`tls.crt`, `tls.key`), as cert-manager and the kubelet keep it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use super::{CertificateError, ServingCertificate, certified_key};

#[derive(Debug, thiserror::Error)]
pub enum MountedError {
    #[error("failed to read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("failed to load tls.crt and tls.key of {}", directory.display())]
    Load { directory: PathBuf, source: CertificateError },
}

/// What the files held when they were last loaded.
#[derive(Clone, PartialEq, Eq)]
struct Files {
    chain: Vec<u8>,
    key: Vec<u8>,
}

/// Follows the directory for ever. What cannot be loaded is logged and tried again: between the two writes of a
/// renewal the files do not match, and until then the former certificate is still good.
pub async fn follow(directory: PathBuf, every: Duration, certificate: Arc<ServingCertificate>) {
    let mut loaded = None;
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match reload(&directory, loaded.as_ref(), &certificate).await {
            Ok(Some(files)) => {
                tracing::info!(directory = %directory.display(), "loaded the serving certificate");
                loaded = Some(files);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the serving certificate stays as it was"
                );
            }
        }
    }
}

async fn reload(
    directory: &Path,
    loaded: Option<&Files>,
    certificate: &ServingCertificate,
) -> Result<Option<Files>, MountedError> {
    let files =
        Files { chain: read(directory.join("tls.crt")).await?, key: read(directory.join("tls.key")).await? };
    if loaded == Some(&files) {
        return Ok(None);
    }
    let key = certified_key(&files.chain, &files.key)
        .map_err(|source| MountedError::Load { directory: directory.to_owned(), source })?;
    certificate.set(key);
    Ok(Some(files))
}

async fn read(path: PathBuf) -> Result<Vec<u8>, MountedError> {
    tokio::fs::read(&path).await.map_err(|source| MountedError::Read { path, source })
}
