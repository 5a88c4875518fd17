use super::*;

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).expect("a tenant id")
}

#[test]
fn streams_and_long_polls_of_one_tenant_are_limited() {
    let waiting = Waiting::default();
    let mut of_acme: Vec<_> = std::iter::from_fn(|| waiting.enter(&tenant("acme")).ok()).collect();
    assert_eq!(of_acme.len(), MAX_PER_TENANT);
    let refused = waiting.enter(&tenant("acme")).expect_err("there is no room");
    assert!(matches!(refused, Error::Busy(_)), "{refused}");
    assert!(waiting.enter(&tenant("globex")).is_ok());
    of_acme.pop();
    assert!(waiting.enter(&tenant("acme")).is_ok());
    drop(of_acme);
    let counts = waiting.counts();
    assert_eq!((counts.total, counts.tenants.len()), (0, 0));
}

#[test]
fn streams_and_long_polls_of_all_tenants_are_limited() {
    let waiting = Waiting::default();
    let places: Vec<_> = (0..20)
        .flat_map(|n| {
            let tenant = tenant(&format!("tenant-{n}"));
            (0..500).filter_map(|_| waiting.enter(&tenant).ok()).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(places.len(), MAX_TOTAL);
}
