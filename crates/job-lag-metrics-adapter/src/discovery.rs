//! Discovery: documents built once at start. They never depend on an engine, because a namespace cannot be deleted
//! while any group's discovery fails.

use http::{HeaderMap, StatusCode, header};
use hyper::body::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    APIGroup, APIGroupList, APIResource, APIResourceList, GroupVersionForDiscovery,
};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    error::ApiError,
    wire::{
        self, Metric,
        accept::{self, DiscoveryVersion, Representation},
    },
};

/// A discovery path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `/apis`
    Groups,
    /// `/apis/external.metrics.k8s.io`
    Group,
    /// `/apis/external.metrics.k8s.io/v1beta1`
    Resources,
}

/// Every discovery document, rendered.
pub struct Discovery {
    groups: Document,
    group: Document,
    resources: Document,
    aggregated_v2: Document,
    aggregated_v2beta1: Document,
}

/// What discovery answers with.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub content_type: &'static str,
    pub etag: String,
    pub body: Bytes,
}

struct Document {
    content_type: &'static str,
    etag: String,
    body: Bytes,
}

impl Discovery {
    pub fn new() -> Self {
        let version = GroupVersionForDiscovery {
            group_version: wire::GROUP_VERSION.to_owned(),
            version: wire::VERSION.to_owned(),
        };
        let group = APIGroup {
            name: wire::GROUP.to_owned(),
            versions: vec![version.clone()],
            preferred_version: Some(version),
            server_address_by_client_cidrs: None,
        };
        // Without `list` and `delete` among the verbs the garbage collector, the namespace controller and backup
        // tools leave the group alone. The verb for RBAC is `list` all the same, as for any collection.
        let resources = Metric::ALL.map(|metric| APIResource {
            name: metric.name().to_owned(),
            kind: wire::VALUE_LIST_KIND.to_owned(),
            namespaced: true,
            verbs: vec!["get".to_owned()],
            ..APIResource::default()
        });
        let aggregated = |version: &str| {
            json!({
                "kind": "APIGroupDiscoveryList",
                "apiVersion": format!("apidiscovery.k8s.io/{version}"),
                "metadata": {},
                "items": [{
                    "metadata": {"name": wire::GROUP, "creationTimestamp": null},
                    "versions": [{
                        "version": wire::VERSION,
                        "resources": Metric::ALL.map(|metric| json!({
                            "resource": metric.name(),
                            "responseKind": {
                                "group": wire::GROUP, "version": wire::VERSION, "kind": wire::VALUE_LIST_KIND,
                            },
                            "scope": "Namespaced",
                            "singularResource": "",
                            "verbs": ["get"],
                        })),
                        "freshness": "Current",
                    }],
                }],
            })
        };
        Self {
            groups: Document::json(&json!(APIGroupList { groups: vec![group.clone()] })),
            group: Document::json(&json!(group)),
            resources: Document::json(&json!(APIResourceList {
                group_version: wire::GROUP_VERSION.to_owned(),
                resources: resources.to_vec(),
            })),
            aggregated_v2: Document::new(
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                &aggregated("v2"),
            ),
            aggregated_v2beta1: Document::new(
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
                &aggregated("v2beta1"),
            ),
        }
    }

    pub fn answer(&self, page: Page, headers: &HeaderMap) -> Result<Answer, ApiError> {
        let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let representation =
            accept::negotiate(accepted, page == Page::Groups).ok_or(ApiError::NotAcceptable)?;
        let document = match (page, representation) {
            (_, Representation::AggregatedDiscovery(DiscoveryVersion::V2)) => &self.aggregated_v2,
            (_, Representation::AggregatedDiscovery(DiscoveryVersion::V2Beta1)) => &self.aggregated_v2beta1,
            (Page::Groups, Representation::Json) => &self.groups,
            (Page::Group, Representation::Json) => &self.group,
            (Page::Resources, Representation::Json) => &self.resources,
        };
        Ok(document.answer(headers))
    }
}

impl Default for Discovery {
    fn default() -> Self {
        Self::new()
    }
}

impl Document {
    fn json(value: &serde_json::Value) -> Self {
        Self::new("application/json", value)
    }

    fn new(content_type: &'static str, value: &serde_json::Value) -> Self {
        let body = Bytes::from(value.to_string());
        let digest = Sha256::digest(&body);
        Self { content_type, etag: format!("\"{digest:X}\""), body }
    }

    fn answer(&self, headers: &HeaderMap) -> Answer {
        let known = headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|tag| {
                matches!(tag.trim().trim_start_matches("W/"), "*")
                    || tag.trim().trim_start_matches("W/") == self.etag
            });
        let (status, body) = if known {
            (StatusCode::NOT_MODIFIED, Bytes::new())
        } else {
            (StatusCode::OK, self.body.clone())
        };
        Answer { status, content_type: self.content_type, etag: self.etag.clone(), body }
    }
}
