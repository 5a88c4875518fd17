//! Where an engine is and how it is trusted.

use std::fmt;

use crate::Credential;

/// Everything a connection depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineAccess {
    /// Where the engine is.
    pub address: EngineAddress,
    /// Who we are.
    pub credential: Credential,
}

/// Where an engine is and how it proves to be it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EngineAddress {
    /// A DNS name or an IP address (an IPv6 one without brackets).
    pub host: String,
    /// The gRPC port.
    pub port: u16,
    /// How the engine proves to be it; `None` = no TLS.
    pub tls: Option<EngineTls>,
}

/// How an engine proves to be it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EngineTls {
    /// PEM of the authorities that may sign the engine's certificate; no other authority counts.
    pub ca_pem: String,
    /// The name in the engine's certificate; `None` = the address's host.
    pub server_name: Option<String>,
}

impl EngineAddress {
    /// The address as tonic takes it.
    pub fn uri(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{self}")
    }
}

impl fmt::Display for EngineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&join_host_port(&self.host, self.port))
    }
}

/// `host:port`; an IPv6 address stands in brackets, or its last group would read as the port.
#[must_use]
pub fn join_host_port(host: &str, port: impl fmt::Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl fmt::Debug for EngineTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::join_host_port;

    #[test]
    fn only_an_ipv6_address_stands_in_brackets() {
        let joined =
            ["pg.example.com", "10.0.0.1", "fd00::1", "fd00::1:5432"].map(|host| join_host_port(host, 5432));
        assert_eq!(joined, ["pg.example.com:5432", "10.0.0.1:5432", "[fd00::1]:5432", "[fd00::1:5432]:5432"]);
    }
}
