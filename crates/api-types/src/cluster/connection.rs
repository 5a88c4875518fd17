//! Where the database of a cluster is, and which Secrets its login is in.

use super::{DEFAULT_DATABASE, ExternalPostgres, ManagedPostgres, Postgres, PostgresProvider, SslMode};

/// The plugin of CloudNativePG that archives WAL and makes base backups.
pub const BARMAN_CLOUD: &str = "barman-cloud.cloudnative-pg.io";
/// What a person types to install it.
pub const BARMAN_CLOUD_INSTALL: &str = "kubectl apply -f https://github.com/cloudnative-pg/plugin-barman-cloud/releases/latest/download/manifest.yaml";

impl Postgres {
    /// The connection of the cluster `name` in `namespace`; `None` when the spec has neither of its two members.
    pub fn connection(&self, name: &str, namespace: &str) -> Option<ExternalPostgres> {
        match (&self.external_ref, &self.managed) {
            (Some(external), _) => Some(external.resolved(namespace)),
            (None, Some(managed)) => Some(managed.connection(name, namespace)),
            (None, None) => None,
        }
    }
}

impl ExternalPostgres {
    /// The same with its host as everybody looks it up and checks it in the server's certificate. A single word is a Service
    /// beside the engine, whose pods would find it by their search path. In full the name is the same for them and for
    /// controllers, which live elsewhere; `verify-full` compares it with the certificate.
    #[must_use]
    pub fn resolved(&self, namespace: &str) -> Self {
        let is_whole = self.host.contains(['.', ':']);
        let host = if is_whole { self.host.clone() } else { format!("{}.{namespace}.svc", self.host) };
        Self { host, ..self.clone() }
    }
}

impl ManagedPostgres {
    /// Where its provider makes the database of the cluster `name`, and which Secrets it makes for the login.
    pub fn connection(&self, name: &str, namespace: &str) -> ExternalPostgres {
        self.provider().connection(name, namespace)
    }
}

impl PostgresProvider {
    /// Name of the object that is applied for the cluster `name`.
    pub fn object_name(self, name: &str) -> String {
        match self {
            Self::CloudNativePg => format!("{name}-postgres"),
        }
    }

    /// The Service follows the primary, and the server's certificate is made for its name. Of the login's Secret only the
    /// user and the password are read: its `host` is a name that only pods of this namespace can resolve.
    pub fn connection(self, name: &str, namespace: &str) -> ExternalPostgres {
        match self {
            Self::CloudNativePg => {
                let object = self.object_name(name);
                ExternalPostgres {
                    host: format!("{object}-rw.{namespace}.svc"),
                    port: None,
                    database: Some(DEFAULT_DATABASE.to_owned()),
                    database_secret: format!("{object}-app"),
                    ssl_mode: Some(SslMode::VerifyFull),
                    ca_secret: Some(format!("{object}-ca")),
                }
            }
        }
    }
}
