//! From spec to something that can be built, or the one thing that stands in its way. Pure.

use api_types::cluster::ClusterReason;
use api_types::cluster::{ExternalPostgres, ManagedPostgres};
use api_types::{WorkflowCluster, violations};
use controller_kit::outcome::ErrorClass;
use controller_kit::problem::Problem;
use jiff::tz::TimeZone;
use kube::ResourceExt as _;
use semver::Version;

/// What the builders need beside the object itself; with it, no builder can fail.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// `spec.version`.
    pub version: Version,
    /// Where the database is: `spec.postgres.externalRef`, its host as everybody looks it up and checks it in the server's
    /// certificate, or what the provider of `spec.postgres.managed` makes.
    pub postgres: ExternalPostgres,
    /// `spec.postgres.managed`.
    pub managed: Option<ManagedPostgres>,
}

/// Checks the rules of the CRD again (objects can be older than its rules), then what this version can do at all.
pub fn validate(cluster: &WorkflowCluster) -> Result<Target, Problem<ClusterReason>> {
    let refuse = |reason, message: String| Err(Problem::new(reason, ErrorClass::Invalid, message));
    let broken = violations(cluster);
    if let Some(first) = broken.first() {
        let more = match broken.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        return refuse(ClusterReason::InvalidSpec, format!("{first}{more}"));
    }
    let Ok(version) = Version::parse(&cluster.spec.version) else {
        return refuse(ClusterReason::InvalidSpec, "spec.version must be a SemVer version".to_owned());
    };
    for (index, window) in cluster.spec.upgrade().maintenance_windows.iter().enumerate() {
        if TimeZone::get(window.time_zone()).is_err() {
            let message = format!(
                "spec.upgrade.maintenanceWindows[{index}].timeZone: {} is no time zone of the IANA database, like Europe/Berlin",
                window.time_zone()
            );
            return refuse(ClusterReason::InvalidSpec, message);
        }
    }
    let namespace = cluster.namespace().unwrap_or_default();
    let Some(postgres) = cluster.spec.postgres.connection(&cluster.name_any(), &namespace) else {
        let message = "spec.postgres must have exactly one of externalRef and managed".to_owned();
        return refuse(ClusterReason::InvalidSpec, message);
    };
    Ok(Target { version, postgres, managed: cluster.spec.postgres.managed.clone() })
}

/// Fields of a valid spec that are stored and not acted on, each with what to do instead.
#[must_use]
pub fn fields_not_acted_on(cluster: &WorkflowCluster) -> Vec<String> {
    let spec = &cluster.spec;
    let mut fields = Vec::new();
    if spec.authentication.as_ref().is_some_and(|authentication| authentication.oidc.is_some()) {
        fields.push(
            "spec.authentication.oidc (use the token in Secret <tenant>-client of each tenant)".to_owned(),
        );
    }
    if spec.enabled_tracing().is_some() {
        fields.push("spec.observability.tracing (no OTLP is sent yet; use the metrics)".to_owned());
    }
    fields
}

#[cfg(test)]
mod tests;
