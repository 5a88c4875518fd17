use clap::Parser as _;
use rstest::rstest;

use super::Args;

fn parse(address: &str, extra: &[&str]) -> Result<Args, String> {
    let fixed =
        ["payment-worker", "--job-types=a,b", "--tenant=acme", "--worker-name=w", "--token-file=/token"];
    let address = format!("--engine-address={address}");
    let all = fixed.into_iter().chain([address.as_str()]).chain(extra.iter().copied());
    Args::try_parse_from(all).map_err(|error| error.to_string())
}

#[rstest]
#[case("engine.workflow-system.svc:26500", "engine.workflow-system.svc")]
#[case("[::1]:26500", "::1")]
fn address_is_host_and_port(#[case] address: &str, #[case] host: &str) {
    let args = parse(address, &[]).expect("arguments should be valid");
    assert_eq!(args.engine_address, (host.to_owned(), 26500));
    assert_eq!(args.job_types, ["a", "b"]);
}

#[rstest]
#[case::no_port("engine", &[], "expected host:port")]
#[case::port_out_of_range("engine:99999", &[], "expected host:port")]
#[case::no_slots("engine:1", &["--max-in-flight=0"], "0 is not in 1..=1000")]
#[case::endless_work("engine:1", &["--work-duration-ms=600001"], "expected 0 to 600000 milliseconds")]
fn bad_argument_is_named(#[case] address: &str, #[case] extra: &[&str], #[case] message: &str) {
    let error = parse(address, extra).expect_err("argument should be refused");
    assert!(error.contains(message), "{error}");
}

#[test]
fn without_a_tenant_the_default_one_is_served() {
    let args =
        ["payment-worker", "--job-types=a", "--worker-name=w", "--token-file=/token", "--engine-address=e:1"];
    assert_eq!(Args::try_parse_from(args).map(|args| args.tenant).ok().as_deref(), Some("_default"));
    let named = parse("e:1", &[]).map(|args| args.tenant);
    assert_eq!(named.as_deref(), Ok("acme"));
}
