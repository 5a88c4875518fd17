//! The credential files: one directory per role, each the content of a Kubernetes Secret.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use engine_api::{
    Accepted, CLIENT_KEY, CONTROLLER_TOKEN, CURRENT, Credential, CredentialError, CredentialVerifier,
    MONITOR_TOKEN, NEXT, PREVIOUS, Role, TenantKey, WORKER_KEY,
};
use tokio_util::sync::CancellationToken;

use crate::digest;

/// How often a directory is read when it changes during each read.
const ATTEMPTS: usize = 5;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to read the credential file {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the credential file {} cannot be used: {source}", path.display())]
    Unusable {
        path: PathBuf,
        #[source]
        source: CredentialError,
    },
}

impl Error {
    pub(super) fn is_about_a_current_secret(&self) -> bool {
        let (Self::Read { path, .. } | Self::Unusable { path, .. }) = self;
        path.ends_with(CURRENT)
    }
}

/// Which of a role's secrets, by its file name. Callers should use the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Current,
    Next,
    Previous,
}

const SLOTS: [(Slot, &str); 3] = [(Slot::Current, CURRENT), (Slot::Next, NEXT), (Slot::Previous, PREVIOUS)];

/// A secret whose tokens are accepted.
#[derive(Debug, Clone)]
pub(super) struct Secret {
    directory: &'static str,
    pub(super) slot: Slot,
    digest: [u8; 32],
    /// Accepts tokens of this secret only.
    verifier: std::sync::Arc<CredentialVerifier>,
    pub(super) withdrawn: CancellationToken,
}

impl Secret {
    pub(super) fn verify(&self, authorization: &str) -> Option<Role> {
        self.verifier.verify(authorization)
    }

    /// Ignores the slot.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.directory == other.directory && self.digest == other.digest
    }
}

/// The usable secrets, and the errors of the other files.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    pub(super) secrets: Vec<Secret>,
    pub(super) obstacles: Vec<Error>,
}

/// Reads the files of all roles. If a current secret cannot be read, the former one stays valid, so that a failed
/// replacement does not lock callers out. A next or previous secret that cannot be read is left out.
pub(super) fn read(directory: &Path, former: &[Secret]) -> Secrets {
    let mut read = Secrets::default();
    for role in [CONTROLLER_TOKEN, MONITOR_TOKEN, WORKER_KEY, CLIENT_KEY] {
        let of_role = read_role(directory, role, former);
        read.secrets.extend(of_role.secrets);
        read.obstacles.extend(of_role.obstacles);
    }
    read
}

/// Reads all files of one version of the directory: otherwise a secret that moves from one file to another during the
/// read could be missed in both.
fn read_role(directory: &Path, role: &'static str, former: &[Secret]) -> Secrets {
    // The kubelet replaces all files at once: it points this link to another directory.
    let link = directory.join(role).join("..data");
    let mut attempts = 1;
    loop {
        let state = std::fs::read_link(&link).ok();
        let read = read_role_once(directory, role, former);
        if state == std::fs::read_link(&link).ok() || attempts == ATTEMPTS {
            return read;
        }
        attempts += 1;
    }
}

fn read_role_once(directory: &Path, role: &'static str, former: &[Secret]) -> Secrets {
    let mut read = Secrets::default();
    for (slot, file) in SLOTS {
        let path = directory.join(role).join(file);
        match read_secret(&path, role, slot, former) {
            Ok(Some(secret)) => read.secrets.push(secret),
            Ok(None) => {}
            Err(error) => {
                let kept = former.iter().find(|secret| secret.directory == role && secret.slot == slot);
                read.secrets.extend(kept.filter(|_| slot == Slot::Current).cloned());
                read.obstacles.push(error);
            }
        }
    }
    read
}

fn read_secret(
    path: &Path,
    role: &'static str,
    slot: Slot,
    former: &[Secret],
) -> Result<Option<Secret>, Error> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if slot != Slot::Current && error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
    };
    let digest = digest::sha256(text.trim().as_bytes());
    // A known secret keeps its verifier and its token, so that its callers stay accepted when its slot changes.
    if let Some(known) = former.iter().find(|secret| secret.directory == role && secret.digest == digest) {
        return Ok(Some(Secret { slot, ..known.clone() }));
    }
    let verifier = build_verifier(role, &text)
        .map_err(|source| Error::Unusable { path: path.to_owned(), source })?
        .into();
    Ok(Some(Secret { directory: role, slot, digest, verifier, withdrawn: CancellationToken::new() }))
}

fn build_verifier(role: &str, text: &str) -> Result<CredentialVerifier, CredentialError> {
    let mut accepted = Accepted::default();
    match role {
        CONTROLLER_TOKEN => accepted.controller.push(Credential::parse(text)?),
        MONITOR_TOKEN => accepted.monitor.push(Credential::parse(text)?),
        WORKER_KEY => accepted.worker.push(TenantKey::parse(text)?),
        _ => accepted.client.push(TenantKey::parse(text)?),
    }
    CredentialVerifier::new(accepted)
}
