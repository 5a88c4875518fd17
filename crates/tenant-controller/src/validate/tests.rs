use super::*;
use crate::testing::tenant;

#[test]
fn what_admission_accepts_is_valid() {
    assert_eq!(validate(&tenant()), Ok(()));
}

#[test]
fn an_object_older_than_the_schema_is_judged_by_the_same_rules() {
    let mut unsafe_ = tenant();
    unsafe_.spec.isolation = Some(api_types::tenant::Isolation { rls: Some(false) });
    assert_eq!(
        validate(&unsafe_),
        Err(Problem::invalid_spec(
            "spec.isolation.rls must be true: the engine always isolates tenants by row-level security"
        ))
    );
    let mut zero = tenant();
    zero.spec.quotas.as_mut().unwrap().max_active_instances = Some(0);
    let reported = validate(&zero).unwrap_err();
    assert!(reported.message.starts_with("spec.quotas.maxActiveInstances"), "{reported}");
}
