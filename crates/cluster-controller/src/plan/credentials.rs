//! Tokens and keys of an engine: made once, and replaced with an overlap when a person asks for it.
//!
//! | Stage | Secret has | engines accept | callers use | ends |
//! |---|---|---|---|---|
//! | at rest | `current` | it | it | when the annotation of the cluster changes |
//! | announced | `current`, `next` | both | `current` | after the time that a Secret takes to all engine pods |
//! | overlapping | `current` (was `next`), `previous` (was `current`) | both | `current` | after the overlap, and when nobody has had a token of `previous` for as long as a Secret takes to pods |
//!
//! Each Secret goes through its stages independently. A pass that ends early is continued by the next one.

use std::time::Duration;

use api_types::engine_access::{Access, CURRENT_KEY, NEXT_KEY, PREVIOUS_KEY, access_secret_name};
use api_types::labels::{ROTATE_CREDENTIALS, ROTATION_SINCE, UNHELD_SINCE};
use controller_kit::plan::digest;
use engine_client::{Credential, TenantKey};
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;
use serde_json::json;

use super::access::{Claim, claim_on, claims, keep, metadata};
use super::{ClusterStep, Draft, Step};
use crate::children::BuildInput;
use crate::observe::secrets::{AccessView, RedactedSecret};

/// Longer words are remembered by their digest.
const MAX_WORD: usize = 64;

/// Stage of a replacement before this pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Rotation {
    /// Engines accept the next secrets; callers use them from this time on.
    Announced {
        /// When the last one is used.
        until: Timestamp,
    },
    /// Callers use the new secrets, and the former are still accepted.
    Overlapping {
        /// Until then at least.
        until: Timestamp,
        /// Who has tokens of a former key, by name.
        holders: Vec<String>,
    },
}

/// Plans the four Secrets.
pub fn plan_credentials(input: &BuildInput<'_>, view: &AccessView, now: Timestamp, draft: &mut Draft) {
    for access in Access::ALL {
        let before = draft.steps.len();
        let live = view.credentials.get(&access);
        if live.is_none_or(|live| claims(input, view, live, draft)) {
            Plan { input, view, access, now }.plan(live, draft);
        }
        let is_written = draft.steps.len() > before;
        draft.writes_credentials |= is_written;
    }
}

/// Stage of the replacement: the earliest stage of the four Secrets.
#[must_use]
pub fn rotation_of(input: &BuildInput<'_>, view: &AccessView) -> Option<Rotation> {
    let ours = view.credentials.iter().filter(|(_, live)| claim_on(input, view, live) == Claim::Ours);
    let stages = ours.filter_map(|(access, live)| {
        // A Secret whose time is unknown gets one in this pass.
        let since = time_of(live, ROTATION_SINCE)?;
        if live.text(NEXT_KEY).is_some() {
            Some(Rotation::Announced { until: later(since, input.settle()) })
        } else {
            let previous = live.text(PREVIOUS_KEY)?;
            let holders = holders_of(view, *access, previous);
            Some(Rotation::Overlapping { until: later(since, input.overlap()), holders })
        }
    });
    stages.reduce(|one, other| match (one, other) {
        (Rotation::Announced { until: one }, Rotation::Announced { until: other }) => {
            Rotation::Announced { until: one.max(other) }
        }
        (announced @ Rotation::Announced { .. }, _) | (_, announced @ Rotation::Announced { .. }) => {
            announced
        }
        (
            Rotation::Overlapping { until: one, holders: mut all },
            Rotation::Overlapping { until: other, holders },
        ) => {
            all.extend(holders);
            Rotation::Overlapping { until: one.max(other), holders: all }
        }
    })
}

/// The id of the key that tokens are minted from now.
#[must_use]
pub fn key_id_of(input: &BuildInput<'_>, view: &AccessView, access: Access) -> Option<String> {
    let live = view.credentials.get(&access).filter(|live| claim_on(input, view, live) == Claim::Ours)?;
    Some(TenantKey::parse(live.text(CURRENT_KEY)?).ok()?.id().to_owned())
}

impl BuildInput<'_> {
    fn settle(&self) -> Duration {
        Duration::from_secs(self.settings.credential_settle_seconds.into())
    }

    fn overlap(&self) -> Duration {
        Duration::from_secs(self.settings.credential_overlap_seconds.into())
    }

    /// What the person wrote, if it asks for anything.
    fn rotation_word(&self) -> Option<String> {
        let word = self.cluster.annotations().get(ROTATE_CREDENTIALS).filter(|word| !word.is_empty())?;
        Some(if word.len() <= MAX_WORD { word.clone() } else { digest(&json!(word)) })
    }
}

struct Plan<'a> {
    input: &'a BuildInput<'a>,
    view: &'a AccessView,
    access: Access,
    now: Timestamp,
}

impl Plan<'_> {
    fn plan(&self, live: Option<&RedactedSecret>, draft: &mut Draft) {
        let (access, wanted) = (self.access, self.input.rotation_word());
        let Some((live, current)) = live.and_then(|live| Some((live, self.usable(live, CURRENT_KEY)?)))
        else {
            let metadata = self.metadata([(ROTATE_CREDENTIALS, wanted)]);
            draft.steps.push(Step::Own(ClusterStep::CreateCredential { metadata, access }));
            return;
        };
        let handled = live.0.annotations().get(ROTATE_CREDENTIALS).cloned();
        let since = time_of(live, ROTATION_SINCE).unwrap_or(self.now);
        if live.text(NEXT_KEY).is_some() {
            match self.usable(live, NEXT_KEY) {
                Some(_) if later(since, self.input.settle()) <= self.now => {
                    self.promote(live, current, handled, draft);
                }
                Some(_) => {
                    let annotations =
                        [(ROTATE_CREDENTIALS, handled), (ROTATION_SINCE, Some(since.to_string()))];
                    keep(self.view, live, self.metadata(annotations), |_| (), draft);
                }
                None => self.announce(handled, draft),
            }
        } else if let Some(previous) = self.usable(live, PREVIOUS_KEY) {
            self.overlap(live, previous, handled, since, draft);
        } else if wanted.is_some() && wanted != handled {
            self.announce(wanted, draft);
        } else {
            self.rest(live, handled, draft);
        }
    }

    fn announce(&self, word: Option<String>, draft: &mut Draft) {
        let annotations = [(ROTATE_CREDENTIALS, word), (ROTATION_SINCE, Some(whole(self.now).to_string()))];
        draft.steps.push(Step::Own(ClusterStep::AnnounceCredential {
            metadata: self.metadata(annotations),
            access: self.access,
        }));
    }

    fn promote(&self, live: &RedactedSecret, current: &str, word: Option<String>, draft: &mut Draft) {
        let annotations = [(ROTATE_CREDENTIALS, word), (ROTATION_SINCE, Some(whole(self.now).to_string()))];
        let former = k8s_openapi::ByteString(current.as_bytes().to_vec());
        let exchange = |data: &mut std::collections::BTreeMap<_, _>| {
            if let Some(next) = data.remove(NEXT_KEY) {
                data.insert(CURRENT_KEY.to_owned(), next);
                data.insert(PREVIOUS_KEY.to_owned(), former);
            }
        };
        keep(self.view, live, self.metadata(annotations), exchange, draft);
    }

    fn overlap(
        &self,
        live: &RedactedSecret,
        previous: &str,
        word: Option<String>,
        since: Timestamp,
        draft: &mut Draft,
    ) {
        let is_held = !holders_of(self.view, self.access, previous).is_empty();
        let unheld = match self.access {
            // Its users read it from the Secret itself.
            Access::ControllerToken | Access::MonitorToken => Some(since),
            Access::WorkerKey | Access::ClientKey if is_held => None,
            Access::WorkerKey | Access::ClientKey => {
                Some(time_of(live, UNHELD_SINCE).unwrap_or_else(|| whole(self.now)))
            }
        };
        let is_over = unheld.is_some_and(|unheld| {
            later(since, self.input.overlap()) <= self.now && later(unheld, self.input.settle()) <= self.now
        });
        if is_over {
            self.rest(live, word, draft);
            return;
        }
        let reported = unheld.filter(|_| is_key(self.access)).map(|unheld| unheld.to_string());
        let since = Some(since.to_string());
        let annotations = [(ROTATE_CREDENTIALS, word), (ROTATION_SINCE, since), (UNHELD_SINCE, reported)];
        keep(self.view, live, self.metadata(annotations), |_| (), draft);
    }

    /// Nothing but `current` is accepted.
    fn rest(&self, live: &RedactedSecret, word: Option<String>, draft: &mut Draft) {
        let only_current = |data: &mut std::collections::BTreeMap<String, _>| {
            data.retain(|key, _| key == CURRENT_KEY);
        };
        keep(self.view, live, self.metadata([(ROTATE_CREDENTIALS, word)]), only_current, draft);
    }

    fn metadata<const N: usize>(&self, annotations: [(&str, Option<String>); N]) -> ObjectMeta {
        let name = access_secret_name(&self.input.name(), self.access);
        let present = annotations.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        let annotations: std::collections::BTreeMap<_, _> = present.collect();
        ObjectMeta {
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..metadata(self.input, name)
        }
    }

    fn usable<'s>(&self, secret: &'s RedactedSecret, key: &str) -> Option<&'s str> {
        secret.text(key).filter(|text| match self.access {
            Access::ControllerToken | Access::MonitorToken => Credential::parse(text).is_ok(),
            Access::WorkerKey | Access::ClientKey => TenantKey::parse(text).is_ok(),
        })
    }
}

const fn is_key(access: Access) -> bool {
    matches!(access, Access::WorkerKey | Access::ClientKey)
}

/// Who has a token that was minted from this key, or one of which that is not known.
fn holders_of(view: &AccessView, access: Access, key: &str) -> Vec<String> {
    let Some(id) = TenantKey::parse(key).ok().filter(|_| is_key(access)) else { return Vec::new() };
    let all = view.holders.get(&access).into_iter().flatten();
    all.filter(|holder| holder.key_id.as_deref().is_none_or(|other| other == id.id()))
        .map(|holder| holder.object.clone())
        .collect()
}

fn time_of(secret: &RedactedSecret, annotation: &str) -> Option<Timestamp> {
    secret.0.annotations().get(annotation)?.parse().ok()
}

/// Fractions of a second say nothing to a person.
fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.saturating_add(by).unwrap_or(time)
}

#[cfg(test)]
mod tests;
