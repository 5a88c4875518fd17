//! Whether this replica may get requests, and whether its loops still run.
//!
//! Ready is TLS and trust, not engines: a replica without an engine still serves discovery, and a group whose
//! discovery fails blocks the deletion of every namespace.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{auth::CurrentAuthConfig, certs::ServingCertificate};

/// A loop that has not run for this long is wedged. The loops that report here run every second.
const WEDGED_AFTER: Duration = Duration::from_mins(1);

/// See the [module](self). Cheap to clone.
#[derive(Clone)]
pub struct Probes(Arc<Shared>);

struct Shared {
    certificate: Arc<ServingCertificate>,
    auth: CurrentAuthConfig,
    other_server: watch::Receiver<Option<String>>,
    stopping: CancellationToken,
    beats: Mutex<BTreeMap<&'static str, Instant>>,
}

impl Probes {
    /// `other_server`: why another server has the API.
    pub fn new(
        certificate: Arc<ServingCertificate>,
        auth: CurrentAuthConfig,
        other_server: watch::Receiver<Option<String>>,
        stopping: CancellationToken,
    ) -> Self {
        Self(Arc::new(Shared { certificate, auth, other_server, stopping, beats: Mutex::default() }))
    }

    /// Reports that a loop ran.
    pub fn beat(&self, name: &'static str) {
        self.0.beats.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Instant::now());
    }

    pub fn ready(&self) -> Result<(), String> {
        if self.0.stopping.is_cancelled() {
            return Err("shutting down".to_owned());
        }
        if !self.0.certificate.is_loaded() {
            return Err("no serving certificate yet".to_owned());
        }
        if self.0.auth.borrow().is_none() {
            return Err("ConfigMap kube-system/extension-apiserver-authentication is not loaded".to_owned());
        }
        // Shown in readiness, where the person who installs reads it. As long as it is so, no request comes here.
        match &*self.0.other_server.borrow() {
            Some(why) => Err(why.clone()),
            None => Ok(()),
        }
    }

    pub fn live(&self) -> Result<(), String> {
        let beats = self.0.beats.lock().unwrap_or_else(PoisonError::into_inner);
        match beats.iter().find(|(_, beat)| beat.elapsed() > WEDGED_AFTER) {
            Some((name, beat)) => Err(format!("{name} has not turned for {} s", beat.elapsed().as_secs())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
