//! Which versions of the engine this installation runs: a file of the chart says it.

use std::str::FromStr;

use semver::{Version, VersionReq};
use serde::Deserialize;

/// What the file says; everything is allowed when there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EngineVersions {
    supported: VersionReq,
    denied: Vec<Denied>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Denied {
    versions: VersionReq,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Step {
    from: VersionReq,
    to: VersionReq,
    via: Version,
}

impl FromStr for EngineVersions {
    type Err = serde_saphyr::Error;

    /// Parses YAML or JSON.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_saphyr::from_str(text)
    }
}

impl EngineVersions {
    /// Why `to` must not be run, coming from this version or from none, and what to do instead.
    #[must_use]
    pub fn refusal(&self, from: Option<&Version>, to: &Version) -> Option<String> {
        if !self.supported.matches(to) {
            return Some(format!(
                "spec.version {to}: this installation runs versions {} of the engine",
                self.supported
            ));
        }
        if let Some(Denied { reason, .. }) = self.denied.iter().find(|denied| denied.versions.matches(to)) {
            return Some(format!("spec.version {to} must not be used: {reason}"));
        }
        let from = from?;
        let goes_past = |step: &&Step| {
            step.from.matches(from) && step.to.matches(to) && *from < step.via && step.via < *to
        };
        let step = self.steps.iter().find(goes_past)?;
        Some(format!("{from} → {to} goes by way of {via}: set spec.version to {via} first", via = step.via))
    }
}

#[cfg(test)]
mod tests;
