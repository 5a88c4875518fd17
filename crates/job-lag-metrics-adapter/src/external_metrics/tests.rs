use rstest::rstest;

use super::*;

fn query(label_selector: &str, watch: bool) -> Query {
    Query { label_selector: label_selector.to_owned(), watch }
}

#[rstest]
#[case::none(None, query("", false))]
#[case::empty(Some(""), query("", false))]
#[case::selector(Some("labelSelector=job_type%3Dcharge"), query("job_type=charge", false))]
#[case::plus_is_a_space(Some("labelSelector=tenant+in+%28a%2Cb%29"), query("tenant in (a,b)", false))]
#[case::first_selector_wins(Some("labelSelector=a&labelSelector=b"), query("a", false))]
#[case::watch_one(Some("watch=1"), query("", true))]
#[case::watch_true(Some("labelSelector=a&watch=true"), query("a", true))]
#[case::no_watch(Some("watch=false"), query("", false))]
#[case::others_mean_nothing(Some("limit=1&fieldSelector=a%3Db&pretty=1"), query("", false))]
fn query_is_read_as_kubernetes_does(#[case] text: Option<&str>, #[case] expected: Query) {
    assert_eq!(Query::parse(text), expected);
}
