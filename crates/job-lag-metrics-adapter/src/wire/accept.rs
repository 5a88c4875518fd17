//! Content negotiation. Everything is served as JSON; the two aggregated discovery documents are JSON of a type
//! that the client has to ask for by name.

use std::collections::BTreeMap;

/// What a client accepts and we can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Representation {
    Json,
    /// `apidiscovery.k8s.io` in the version that the client prefers.
    AggregatedDiscovery(DiscoveryVersion),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscoveryVersion {
    V2,
    V2Beta1,
}

/// The first media range in the client's order that we can serve; `None` means 406.
///
/// `aggregated` says whether the path has aggregated discovery documents. Elsewhere such a range is not served, as is a
/// server-side table (`as=Table`): kubectl lists plain JSON as its second choice.
pub fn negotiate(accept: Option<&str>, aggregated: bool) -> Option<Representation> {
    let accept = accept.map_or("", str::trim);
    if accept.is_empty() {
        return Some(Representation::Json);
    }
    accept.split(',').find_map(|range| served(range, aggregated))
}

fn served(range: &str, aggregated: bool) -> Option<Representation> {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next()?.to_ascii_lowercase();
    if !matches!(media_type.as_str(), "*/*" | "application/*" | "application/json") {
        return None;
    }
    let parameters: BTreeMap<String, &str> = parts
        .filter_map(|parameter| parameter.split_once('='))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"')))
        .collect();
    if parameters.get("q").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q == 0.0)) {
        return None;
    }
    match parameters.get("as").copied() {
        None => Some(Representation::Json),
        Some("APIGroupDiscoveryList")
            if aggregated && parameters.get("g") == Some(&"apidiscovery.k8s.io") =>
        {
            match parameters.get("v").copied() {
                Some("v2") => Some(Representation::AggregatedDiscovery(DiscoveryVersion::V2)),
                Some("v2beta1") => Some(Representation::AggregatedDiscovery(DiscoveryVersion::V2Beta1)),
                _ => None,
            }
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests;
