//! From spec to something that can be built, or the one thing that stands in its way. Pure.

use api_types::cluster::ClusterReason;
use api_types::cluster::ClusterReason as Reason;
use api_types::cluster::ExternalPostgres;
use api_types::{WorkflowCluster, violations};
use semver::Version;

/// What the builders need beside the object itself; with it, no builder can fail.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// `spec.version`.
    pub version: Version,
    /// `spec.postgres.externalRef`.
    pub postgres: ExternalPostgres,
}

/// Why nothing is built. Nothing is tried before the spec changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The condition's reason.
    pub reason: ClusterReason,
    /// What is wrong, where, and what was expected.
    pub message: String,
}

/// Result of the validation.
pub type Verdict = Result<Target, Refusal>;

/// Checks the rules of the CRD again (objects can be older than its rules), then what this version can do at all.
pub fn validate(cluster: &WorkflowCluster) -> Verdict {
    let refuse = |reason, message: String| Err(Refusal { reason, message });
    let broken = violations(cluster);
    if let Some(first) = broken.first() {
        let more = match broken.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        return refuse(Reason::InvalidSpec, format!("{first}{more}"));
    }
    let Ok(version) = Version::parse(&cluster.spec.version) else {
        return refuse(Reason::InvalidSpec, "spec.version must be a SemVer version".to_owned());
    };
    match &cluster.spec.postgres.external_ref {
        Some(postgres) => Ok(Target { version, postgres: postgres.clone() }),
        None => refuse(
            Reason::FieldsNotActedOn,
            "spec.postgres.managed is stored but not acted on by this version: create a Postgres yourself and name it in \
             spec.postgres.externalRef of a new WorkflowCluster"
                .to_owned(),
        ),
    }
}

/// Fields of a valid spec that are stored and not acted on, each with what to do instead.
#[must_use]
pub fn fields_not_acted_on(cluster: &WorkflowCluster) -> Vec<&'static str> {
    let spec = &cluster.spec;
    let mut fields = Vec::new();
    if spec.authentication.as_ref().is_some_and(|authentication| authentication.oidc.is_some()) {
        fields.push("spec.authentication.oidc (use the tokens in Secret <name>-engine-credentials)");
    }
    if spec.enabled_tracing().is_some() {
        fields.push("spec.observability.tracing (use the metrics)");
    }
    fields
}

#[cfg(test)]
mod tests;
