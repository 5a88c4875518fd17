use rstest::rstest;

use super::*;

const V2: Option<Representation> = Some(Representation::AggregatedDiscovery(DiscoveryVersion::V2));
const V2BETA1: Option<Representation> = Some(Representation::AggregatedDiscovery(DiscoveryVersion::V2Beta1));
const JSON: Option<Representation> = Some(Representation::Json);

#[rstest]
#[case::none(None, JSON)]
#[case::empty(Some(""), JSON)]
#[case::json(Some("application/json"), JSON)]
#[case::json_in_capitals(Some("Application/JSON"), JSON)]
#[case::json_with_charset(Some("application/json; charset=utf-8"), JSON)]
#[case::autoscaler(Some("application/vnd.kubernetes.protobuf, */*"), JSON)]
#[case::any_application(Some("application/*"), JSON)]
#[case::table_then_json(Some("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"), JSON)]
#[case::table_only(Some("application/json;as=Table;v=v1;g=meta.k8s.io"), None)]
#[case::cbor(Some("application/cbor"), None)]
#[case::html(Some("text/html"), None)]
#[case::protobuf_only(Some("application/vnd.kubernetes.protobuf"), None)]
#[case::json_refused_by_weight(Some("application/json;q=0"), None)]
#[case::weighted(Some("text/html;q=1, application/json;q=0.5"), JSON)]
#[case::aggregated_v2(Some("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"), None)]
fn resources_are_served_as_plain_json(
    #[case] accept: Option<&str>,
    #[case] expected: Option<Representation>,
) {
    assert_eq!(negotiate(accept, false), expected);
}

#[rstest]
#[case::v2(Some("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"), V2)]
#[case::v2beta1(Some("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"), V2BETA1)]
#[case::v2_first(
    Some(
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
         application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
    ),
    V2
)]
#[case::future_version_then_v2(
    Some(
        "application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList,\
         application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    ),
    V2
)]
#[case::only_a_future_version(
    Some("application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList"),
    None
)]
#[case::protobuf_then_json(
    Some(
        "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    ),
    JSON
)]
#[case::plain(Some("application/json"), JSON)]
#[case::none(None, JSON)]
fn group_list_is_served_aggregated_on_request(
    #[case] accept: Option<&str>,
    #[case] expected: Option<Representation>,
) {
    assert_eq!(negotiate(accept, true), expected);
}
