use super::*;

const LIMITS: Limits = Limits { total: 6, unauthenticated: 3, per_address: 4 };

fn host(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

fn connections() -> Connections {
    Connections::new(LIMITS, Metrics::default())
}

#[test]
fn a_new_connection_evicts_the_oldest_unauthenticated_one() {
    let connections = connections();
    let places: Vec<_> = (0..4).map(|n| connections.admit(host(n)).expect("there is room")).collect();
    let evicted: Vec<_> = places.iter().map(|place| place.is_evicted()).collect();
    assert_eq!(evicted, [true, false, false, false]);
    // A token after the eviction has no effect.
    places[0].mark_known();
    assert!(places[0].is_evicted());
}

#[test]
fn unauthenticated_connections_do_not_block_a_known_caller_of_the_same_address() {
    let connections = connections();
    let known: Vec<_> = (0..2)
        .map(|_| {
            let place = connections.admit(host(1)).expect("there is room");
            place.mark_known();
            place
        })
        .collect();
    let unauthenticated: Vec<_> =
        (0..20).map(|_| connections.admit(host(1)).expect("the oldest gives way")).collect();
    assert_eq!(unauthenticated.iter().filter(|place| !place.is_evicted()).count(), 2);
    let next = connections.admit(host(1)).expect("a known caller comes again");
    next.mark_known();
    assert!(!next.is_evicted() && known.iter().all(|place| !place.is_evicted()));
}

#[test]
fn known_callers_are_never_evicted() {
    let connections = connections();
    let known = connections.admit(host(1)).expect("there is room");
    known.mark_known();
    let _unauthenticated: Vec<_> = (0..100).filter_map(|n| connections.admit(host(n % 50 + 2))).collect();
    assert!(!known.is_evicted());
    let next = connections.admit(host(1)).expect("a known caller comes again");
    next.mark_known();
    assert!(!next.is_evicted());
}

#[test]
fn connections_are_limited_in_total_and_per_address() {
    let connections = connections();
    let admit_known = |n| {
        let place = connections.admit(host(n))?;
        place.mark_known();
        Some(place)
    };
    let of_one: Vec<_> = (0..10).filter_map(|_| admit_known(1)).collect();
    assert_eq!(of_one.len(), 4);
    let others: Vec<_> = (2..10).filter_map(admit_known).collect();
    assert_eq!(others.len(), 2);
    drop(of_one);
    assert!(admit_known(1).is_some());
    drop(others);
    let places = connections.places();
    assert_eq!((places.known, places.unauthenticated.len(), places.addresses.len()), (0, 0, 0));
}
