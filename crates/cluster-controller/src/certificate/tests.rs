use std::time::Duration;

use x509_parser::pem::Pem;

use super::*;
use crate::testing::{authority, days, today};

#[test]
fn a_certificate_tells_when_it_was_made_and_ends() {
    let authority = authority(today());
    let issued = issue(&authority, &["a.svc".to_owned()], Duration::from_hours(90 * 24), today()).unwrap();
    assert_eq!(
        Lifetime::of(issued.certificate.as_bytes()),
        Some(Lifetime { made: today(), end: today().checked_add(days(90)).unwrap() })
    );
    assert_eq!(Lifetime::of(b"no certificate"), None);
}

#[test]
fn a_certificate_is_due_after_two_thirds_of_its_life() {
    let lifetime = Lifetime { made: today(), end: today().checked_add(days(90)).unwrap() };
    let due = [0, 59, 60, 90, 900].map(|age| lifetime.is_due(today().checked_add(days(age)).unwrap()));
    assert_eq!(due, [false, false, true, true, true]);
}

#[test]
fn a_certificate_carries_its_names_and_its_authoritys_signature() {
    let authority = authority(today());
    let names = ["dev-engine.acme.svc".to_owned(), "*.dev-engine-headless.acme.svc".to_owned()];
    let issued = issue(&authority, &names, Duration::from_hours(7 * 24), today()).unwrap();
    let (pem, _) = Pem::read(std::io::Cursor::new(issued.certificate.as_bytes())).unwrap();
    let (ca_pem, _) = Pem::read(std::io::Cursor::new(authority.certificate.as_bytes())).unwrap();
    let (leaf, ca) = (pem.parse_x509().unwrap(), ca_pem.parse_x509().unwrap());
    assert_eq!(leaf.issuer(), ca.subject());
    let found = leaf.subject_alternative_name().unwrap().unwrap();
    let found: Vec<String> = found.value.general_names.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["DNSName(dev-engine.acme.svc)", "DNSName(*.dev-engine-headless.acme.svc)"]);
}

#[test]
fn names_and_addresses_are_read_back_from_a_certificate() {
    let names = ["dev-engine.acme.svc", "*.dev.acme.svc", "203.0.113.7", "2001:db8::1"].map(str::to_owned);
    let issued = issue(&authority(today()), &names, Duration::from_hours(7 * 24), today()).unwrap();
    assert_eq!(names_of(issued.certificate.as_bytes()), Some(names.into()));
    assert_eq!(names_of(authority(today()).certificate.as_bytes()), None);
}

#[test]
fn keys_are_never_shown() {
    assert_eq!(format!("{:?}", authority(today())), "Issued(redacted)");
}
