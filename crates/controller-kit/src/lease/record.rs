//! The Lease as the protocol sees it, and back.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::ObjectMeta;

use super::protocol::{Draft, Holder, Record};

pub(super) fn record_of(lease: &Lease) -> Record<String, String> {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let acquired = spec.acquire_time.map(|time| time.0.as_microsecond());
    Record {
        uid: lease.metadata.uid.clone().unwrap_or_default(),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: match spec.holder_identity {
            None => Holder::Nobody,
            Some(identity) if identity.is_empty() => Holder::Released,
            Some(identity) => Holder::Held(identity),
        },
        duration: Duration::from_secs(seconds.unwrap_or_default()),
        token: acquired.and_then(|micros| u64::try_from(micros).ok()).unwrap_or_default(),
    }
}

/// `former` is the Lease that is replaced: its uid and version are the precondition of the write.
pub(super) fn build_lease(
    name: &str,
    former: Option<&Lease>,
    draft: Draft<String>,
    wall: Timestamp,
) -> Lease {
    let acquired = i64::try_from(draft.token).ok().filter(|micros| *micros > 0);
    let spec = former.and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let transitions = spec.lease_transitions.unwrap_or(0);
    let is_change = matches!(&draft.holder, Holder::Held(new) if spec.holder_identity.as_ref() != Some(new));
    // The first holder does not count as a change.
    let is_change = is_change && spec.holder_identity.is_some();
    let metadata = former.map(|lease| lease.metadata.clone());
    Lease {
        metadata: metadata
            .unwrap_or_else(|| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }),
        spec: Some(LeaseSpec {
            holder_identity: match draft.holder {
                Holder::Nobody => None,
                Holder::Released => Some(String::new()),
                Holder::Held(identity) => Some(identity),
            },
            lease_duration_seconds: i32::try_from(draft.duration.as_secs()).ok(),
            acquire_time: acquired.and_then(|micros| Timestamp::from_microsecond(micros).ok()).map(MicroTime),
            renew_time: Some(MicroTime(wall)),
            lease_transitions: Some(transitions.saturating_add(i32::from(is_change))),
            ..LeaseSpec::default()
        }),
    }
}
