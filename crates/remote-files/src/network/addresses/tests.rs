use std::net::IpAddr;

use rstest::rstest;

use super::{AddressPolicy, Range};
use crate::ErrorKind;

fn policy(allowed: &[&str], denied: &[&str]) -> AddressPolicy {
    let ranges = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a range")).collect();
    AddressPolicy { allowed: ranges(allowed), denied: ranges(denied) }
}

#[rstest]
#[case::public("140.82.121.3", None)]
#[case::public_v6("2606:50c0:8000::153", None)]
#[case::loopback("127.0.0.1", Some(Range::Loopback))]
#[case::loopback_elsewhere("127.255.255.254", Some(Range::Loopback))]
#[case::loopback_v6("::1", Some(Range::Loopback))]
#[case::mapped_loopback("::ffff:127.0.0.1", Some(Range::Loopback))]
#[case::compatible_loopback("::127.0.0.1", Some(Range::Loopback))]
#[case::nat64_metadata("64:ff9b::a9fe:a9fe", Some(Range::LinkLocal))]
#[case::nat64_of_a_public_one("64:ff9b::8c52:7903", None)]
#[case::six_to_four_private("2002:0a00:0001::1", Some(Range::Private))]
#[case::teredo("2001:0:1234::1", Some(Range::Reserved))]
#[case::metadata("169.254.169.254", Some(Range::LinkLocal))]
#[case::link_local_v6("fe80::1", Some(Range::LinkLocal))]
#[case::services("10.96.0.1", Some(Range::Private))]
#[case::private_172("172.31.0.1", Some(Range::Private))]
#[case::not_private_172("172.32.0.1", None)]
#[case::private_192("192.168.1.1", Some(Range::Private))]
#[case::carrier("100.64.0.1", Some(Range::Private))]
#[case::unique_local("fd00:ec2::254", Some(Range::Private))]
#[case::site_local("fec0::1", Some(Range::Private))]
#[case::unspecified("0.0.0.0", Some(Range::Reserved))]
#[case::unspecified_v6("::", Some(Range::Reserved))]
#[case::broadcast("255.255.255.255", Some(Range::Reserved))]
#[case::multicast("224.0.0.1", Some(Range::Multicast))]
#[case::multicast_v6("ff02::1", Some(Range::Multicast))]
#[case::benchmarks("198.18.0.1", Some(Range::Reserved))]
#[case::documentation("2001:db8::1", Some(Range::Reserved))]
#[case::nat64_of_the_network_itself("64:ff9b:1::1", Some(Range::Reserved))]
fn only_public_addresses_are_called(#[case] address: &str, #[case] refusal: Option<Range>) {
    let address: IpAddr = address.parse().expect("an address");
    assert_eq!(AddressPolicy::default().refusal(address), refusal);
}

#[rstest]
#[case::allowed("10.20.1.1", None)]
#[case::beside_it("10.21.1.1", Some(Range::Private))]
#[case::denied_inside_allowed("10.20.9.1", Some(Range::Denied))]
#[case::mapped_and_allowed("::ffff:10.20.1.1", None)]
#[case::mapped_and_denied("::ffff:10.20.9.1", Some(Range::Denied))]
#[case::public_and_denied("140.82.121.3", Some(Range::Denied))]
fn an_installation_opens_and_closes_ranges(#[case] address: &str, #[case] refusal: Option<Range>) {
    let policy = policy(&["10.20.0.0/16"], &["10.20.9.0/24", "140.82.112.0/20"]);
    assert_eq!(policy.refusal(address.parse().expect("an address")), refusal);
}

/// One of two addresses is enough to refuse a host: it could be the one that is connected to.
#[test]
fn a_host_with_one_refused_address_is_refused() {
    let addresses: Vec<IpAddr> =
        ["140.82.121.3", "127.0.0.1"].iter().map(|text| text.parse().expect("an address")).collect();
    let error = AddressPolicy::default().check("git.example.com", &addresses).expect_err("refused");
    assert_eq!(error.kind, ErrorKind::AddressRefused);
    assert_eq!(
        error.message,
        "host git.example.com is at a loopback address, which this installation does not call; use a public host, or have a cluster admin add its network to global.git.allowedNetworks"
    );
    assert_eq!(AddressPolicy::default().check("git.example.com", &addresses[..1]), Ok(()));
}
