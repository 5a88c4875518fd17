//! Under which names and addresses an engine is reached from outside the Kubernetes cluster. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use api_types::WorkflowCluster;
use api_types::cluster::{Ingress, ServiceType};
use api_types::engine_access::GRPC_PORT;
use api_types::grammar;
use controller_kit::plan::is_controlled_by;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;

/// More addresses of one load balancer are not taken into the certificate.
const MAX_ADDRESSES: usize = 16;

/// How an engine is reached from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct External {
    /// DNS name or IP address, once there is one.
    pub host: Option<String>,
    /// The same as URL.
    pub url: Option<String>,
    /// Names and addresses that the engine's certificate needs beside those inside the Kubernetes cluster, sorted.
    pub names: Vec<String>,
    /// The spec asks for a load balancer, and the cloud has not given it an address.
    pub is_pending: bool,
}

impl External {
    /// Of this cluster, with its client Service as it is.
    #[must_use]
    pub fn of(cluster: &WorkflowCluster, service: Option<&Service>) -> Self {
        let spec = &cluster.spec;
        let own = spec.network.as_ref().and_then(|network| network.external_host.clone());
        let ingress = spec.enabled_ingress().filter(|ingress| ingress.host.is_some());
        let balanced = match spec.service_type() {
            ServiceType::LoadBalancer => Some(addresses_of(cluster, service)),
            ServiceType::ClusterIp | ServiceType::NodePort => None,
        };
        let is_pending = balanced.as_ref().is_some_and(Vec::is_empty);
        let of_ingress = ingress.and_then(|ingress| ingress.host.clone());
        let address = balanced.as_ref().and_then(|addresses| addresses.first().cloned());
        let host = if is_pending { None } else { own.clone().or(address).or(of_ingress.clone()) };
        // Behind an Ingress alone the port is that of the Ingress.
        let behind = ingress.filter(|_| balanced.is_none());
        let url = host.as_deref().map(|host| url_of(host, behind));
        let names = balanced.into_iter().flatten().chain(own).chain(of_ingress);
        let names: BTreeSet<String> = names.collect();
        Self { host, url, names: names.into_iter().collect(), is_pending }
    }
}

/// What the cloud gave the load balancer, names before addresses: a name outlives the addresses behind it.
fn addresses_of(cluster: &WorkflowCluster, service: Option<&Service>) -> Vec<String> {
    let uid = cluster.uid().unwrap_or_default();
    let ours = service.filter(|service| is_controlled_by(&service.metadata, &uid));
    let status = ours.and_then(|service| service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref());
    let given = || status.into_iter().flatten();
    let names = given().filter_map(|given| given.hostname.clone()).filter(|name| is_dns_name(name));
    let addresses = given().filter_map(|given| given.ip.clone()).filter(|ip| ip.parse::<IpAddr>().is_ok());
    names.chain(addresses).take(MAX_ADDRESSES).collect()
}

/// A certificate cannot be made for anything else.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        ends(bytes.first())
            && ends(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    name.len() <= grammar::DNS_SUBDOMAIN_MAX as usize && name.split('.').all(is_label)
}

fn url_of(host: &str, behind: Option<&Ingress>) -> String {
    let host = match host.parse::<Ipv6Addr>() {
        Ok(_) => format!("[{host}]"),
        Err(_) => host.to_owned(),
    };
    match behind {
        Some(ingress) if ingress.tls_secret.is_some() => format!("https://{host}"),
        Some(_) => format!("http://{host}"),
        None => format!("https://{host}:{GRPC_PORT}"),
    }
}

#[cfg(test)]
mod tests;
