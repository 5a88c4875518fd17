//! What is read of Flux's kinds. Pure.

use api_types::process::FluxKind;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;

/// Every kind that a process can name.
pub(super) const KINDS: [FluxKind; 4] =
    [FluxKind::GitRepository, FluxKind::OciRepository, FluxKind::Bucket, FluxKind::ExternalArtifact];

/// As the API server knows the kind.
pub(super) fn resource_of(kind: FluxKind) -> ApiResource {
    let plural = match kind {
        FluxKind::GitRepository => "gitrepositories",
        FluxKind::OciRepository => "ocirepositories",
        FluxKind::Bucket => "buckets",
        FluxKind::ExternalArtifact => "externalartifacts",
    };
    let kind = GroupVersionKind::gvk("source.toolkit.fluxcd.io", "v1", kind.as_str());
    ApiResource::from_gvk_with_plural(&kind, plural)
}

/// `status.artifact` of a source, as far as it is used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Artifact {
    pub(super) url: String,
    /// 64 hexadecimal digits.
    pub(super) sha256: String,
    /// Flux's own word for what is in it, like `main@sha1:4db5…`.
    pub(super) revision: String,
}

impl Artifact {
    /// `None`: there is none, or none with a digest that can be checked.
    pub(super) fn of(source: &DynamicObject) -> Option<Self> {
        let artifact = source.data.pointer("/status/artifact")?;
        let text = |field: &str| artifact.get(field)?.as_str();
        let sha256 = text("digest")?.strip_prefix("sha256:")?;
        let is_digest = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        let revision: String =
            text("revision").unwrap_or_default().chars().filter(char::is_ascii_graphic).take(512).collect();
        is_digest.then(|| text("url")).flatten().map(|url| Self {
            url: url.to_owned(),
            sha256: sha256.to_owned(),
            revision,
        })
    }
}

/// The reason of the condition Ready. Its message may have words of any host.
pub(super) fn reason_of(source: &DynamicObject) -> Option<String> {
    let conditions = source.data.pointer("/status/conditions")?.as_array()?;
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
    let reason: String =
        ready["reason"].as_str()?.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    (!reason.is_empty()).then_some(reason)
}

/// Events of one watch name no kind; of objects that do, it has to be this one.
pub(super) fn is_of_kind(source: &DynamicObject, kind: FluxKind) -> bool {
    source.types.as_ref().is_none_or(|types| types.kind.is_empty() || types.kind == kind.as_str())
}
