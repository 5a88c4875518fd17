//! Which path is what. Pure, so that the whole surface of the server is one table.

use percent_encoding::percent_decode_str;

use crate::{discovery::Page, wire};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Answered to anybody.
    Health(Health),
    Discovery(Page),
    /// `/apis/<group>/<version>/namespaces/<namespace>/<metric>`
    Metric {
        namespace: String,
        metric: String,
    },
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Live,
    Ready,
}

pub fn route(path: &str) -> Route {
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        ["healthz" | "livez"] => Route::Health(Health::Live),
        ["readyz"] => Route::Health(Health::Ready),
        ["apis"] => Route::Discovery(Page::Groups),
        ["apis", wire::GROUP] => Route::Discovery(Page::Group),
        ["apis", wire::GROUP, wire::VERSION] => Route::Discovery(Page::Resources),
        ["apis", wire::GROUP, wire::VERSION, "namespaces", namespace, metric] => {
            match (decoded(namespace), decoded(metric)) {
                (Some(namespace), Some(metric)) => Route::Metric { namespace, metric },
                _ => Route::Unknown,
            }
        }
        _ => Route::Unknown,
    }
}

fn decoded(segment: &str) -> Option<String> {
    let text = percent_decode_str(segment).decode_utf8().ok()?;
    (!text.is_empty()).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn metric(namespace: &str, metric: &str) -> Route {
        Route::Metric { namespace: namespace.to_owned(), metric: metric.to_owned() }
    }

    #[rstest]
    #[case::healthz("/healthz", Route::Health(Health::Live))]
    #[case::livez("/livez", Route::Health(Health::Live))]
    #[case::readyz("/readyz", Route::Health(Health::Ready))]
    #[case::groups("/apis", Route::Discovery(Page::Groups))]
    #[case::groups_slash("/apis/", Route::Discovery(Page::Groups))]
    #[case::group("/apis/external.metrics.k8s.io", Route::Discovery(Page::Group))]
    #[case::group_slash("/apis/external.metrics.k8s.io/", Route::Discovery(Page::Group))]
    #[case::resources("/apis/external.metrics.k8s.io/v1beta1", Route::Discovery(Page::Resources))]
    #[case::resources_slash("/apis/external.metrics.k8s.io/v1beta1/", Route::Discovery(Page::Resources))]
    #[case::metric(
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/acme/wf_job_lag_seconds",
        metric("acme", "wf_job_lag_seconds")
    )]
    #[case::encoded_metric(
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/acme/a%3Ab",
        metric("acme", "a:b")
    )]
    #[case::cluster_scoped("/apis/external.metrics.k8s.io/v1beta1/wf_job_lag_seconds", Route::Unknown)]
    #[case::no_namespace(
        "/apis/external.metrics.k8s.io/v1beta1/namespaces//wf_job_lag_seconds",
        Route::Unknown
    )]
    #[case::sub_path(
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/acme/wf_job_lag_seconds/status",
        Route::Unknown
    )]
    #[case::other_version("/apis/external.metrics.k8s.io/v1", Route::Unknown)]
    #[case::other_group("/apis/custom.metrics.k8s.io", Route::Unknown)]
    #[case::open_api_v2("/openapi/v2", Route::Unknown)]
    #[case::open_api_v3("/openapi/v3", Route::Unknown)]
    #[case::metrics_have_their_own_port("/metrics", Route::Unknown)]
    #[case::no_profiler("/debug/pprof", Route::Unknown)]
    #[case::root("/", Route::Unknown)]
    #[case::not_utf8("/apis/external.metrics.k8s.io/v1beta1/namespaces/acme/%ff", Route::Unknown)]
    fn path_leads_to_its_route(#[case] path: &str, #[case] expected: Route) {
        assert_eq!(route(path), expected);
    }
}
