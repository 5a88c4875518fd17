use rstest::rstest;

use super::*;

fn owner(id: &str, uid: &str, second: i64) -> Owner {
    let created_at = Timestamp::from_second(second).expect("second should be a time");
    Owner { id: id.to_owned(), uid: uid.to_owned(), created_at }
}

#[rstest]
#[case::nobody(None, Claim::Free)]
#[case::itself(Some(owner("WorkflowTenant/a/acme", "2", 20)), Claim::Held)]
#[case::an_earlier_life(Some(owner("WorkflowTenant/a/acme", "1", 10)), Claim::Inherited)]
#[case::a_life_of_the_same_second(Some(owner("WorkflowTenant/a/acme", "1", 20)), Claim::Inherited)]
#[case::a_later_life(Some(owner("WorkflowTenant/a/acme", "3", 30)), Claim::Superseded)]
#[case::another_namespace(Some(owner("WorkflowTenant/b/acme", "1", 10)), Claim::Foreign)]
#[case::another_kind_with_the_same_uid(Some(owner("WorkflowProcess/a/acme", "2", 20)), Claim::Foreign)]
fn owner_may_do_what_its_claim_says(#[case] recorded: Option<Owner>, #[case] expected: Claim) {
    assert_eq!(owner("WorkflowTenant/a/acme", "2", 20).claim(recorded.as_ref()), expected);
}
