use std::collections::HashMap;

use rstest::rstest;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, QuotaViolation, StatusExt};

use super::{precondition, quota_exceeded, read};
use crate::{ErrorClass, model::QuotaKind};

#[rstest]
#[case(Code::Ok, ErrorClass::Internal, "engine failed by a defect: said")]
#[case(Code::Cancelled, ErrorClass::Unavailable, "engine gave no answer in time: said")]
#[case(Code::Unknown, ErrorClass::Internal, "engine failed by a defect: said")]
#[case(Code::InvalidArgument, ErrorClass::Invalid, "engine refuses the request: said")]
#[case(Code::DeadlineExceeded, ErrorClass::Unavailable, "engine gave no answer in time: said")]
#[case(Code::NotFound, ErrorClass::NotFound, "engine does not know it: said")]
#[case(Code::AlreadyExists, ErrorClass::AlreadyOwned, "engine has it for another owner: said")]
#[case(Code::PermissionDenied, ErrorClass::Denied, "engine refuses the credential: said")]
#[case(Code::ResourceExhausted, ErrorClass::Unavailable, "engine is overloaded: said")]
#[case(Code::FailedPrecondition, ErrorClass::Precondition { reason: "UNSPECIFIED".to_owned() }, "engine is not in the state for it: said")]
#[case(Code::Aborted, ErrorClass::Stale, "somebody newer was first: said")]
#[case(Code::OutOfRange, ErrorClass::Invalid, "engine refuses the request: said")]
#[case(Code::Unimplemented, ErrorClass::Unsupported, "engine cannot do it: said")]
#[case(Code::Internal, ErrorClass::Internal, "engine failed by a defect: said")]
#[case(Code::Unavailable, ErrorClass::Unavailable, "engine is unavailable: said")]
#[case(Code::DataLoss, ErrorClass::Corrupt, "engine lost or damaged data: said")]
#[case(Code::Unauthenticated, ErrorClass::Denied, "engine refuses the credential: said")]
fn every_code_has_its_class(#[case] code: Code, #[case] class: ErrorClass, #[case] message: &str) {
    let refusal = read(&Status::new(code, "said"));
    assert_eq!((refusal.to_string(), refusal.class), (message.to_owned(), class));
}

#[rstest]
#[case(QuotaKind::ActiveInstances, "tenant acme uses 10 of 10 active-instances")]
#[case(QuotaKind::JobsPerMinute, "tenant acme uses 10 of 10 jobs-per-minute")]
#[case(QuotaKind::Storage, "tenant acme uses 10 of 10 storage-bytes")]
#[case(
    QuotaKind::JobTypes,
    "tenant acme uses 10 of 10 job-types: delete processes that nobody needs, or let tasks share a job type"
)]
fn quota_refusal_is_read_as_it_was_written(#[case] quota: QuotaKind, #[case] said: &str) {
    let refusal = read(&quota_exceeded("acme", quota, 10, 10));
    assert_eq!(refusal.class, ErrorClass::QuotaExceeded { quota, limit: 10, current: 10 });
    assert_eq!(refusal.to_string(), format!("quota of the tenant is used up: {said}"));
}

#[rstest]
#[case::unknown_metric(violation("requests-per-second", 5, Some("5")))]
#[case::negative_limit(violation("active-instances", -1, Some("5")))]
#[case::no_use(violation("active-instances", 5, None))]
#[case::use_is_no_number(violation("active-instances", 5, Some("many")))]
fn quota_refusal_that_we_do_not_understand_is_overload(#[case] violation: QuotaViolation) {
    let details = ErrorDetails::with_quota_failure([violation]);
    let status = Status::with_error_details(Code::ResourceExhausted, "too much", details);
    assert_eq!(read(&status).class, ErrorClass::Unavailable);
}

fn violation(metric: &str, limit: i64, current: Option<&str>) -> QuotaViolation {
    QuotaViolation {
        quota_metric: metric.to_owned(),
        quota_value: limit,
        quota_dimensions: current.map(|value| ("current".to_owned(), value.to_owned())).into_iter().collect(),
        ..QuotaViolation::default()
    }
}

#[test]
fn precondition_is_read_as_it_was_written() {
    let status = precondition("TENANT_SUSPENDED", "tenant acme is suspended");
    let refusal = read(&status);
    assert_eq!(refusal.class, ErrorClass::Precondition { reason: "TENANT_SUSPENDED".to_owned() });
    assert_eq!(refusal.to_string(), "engine is not in the state for it: tenant acme is suspended");
}

#[rstest]
#[case::empty("")]
#[case::prose("tenant is suspended")]
#[case::markup("<b>")]
#[case::too_long(&"A".repeat(65))]
fn reason_of_a_wrong_shape_is_not_passed_on(#[case] reason: &str) {
    let details = ErrorDetails::with_error_info(reason, "example.org", HashMap::new());
    let status = Status::with_error_details(Code::FailedPrecondition, "no", details);
    let class = ErrorClass::Precondition { reason: "UNSPECIFIED".to_owned() };
    assert_eq!(read(&status).class, class);
}

#[test]
fn damaged_details_are_overload() {
    let status = Status::with_details(Code::ResourceExhausted, "no", vec![0xff; 40].into());
    assert_eq!(read(&status).class, ErrorClass::Unavailable);
}
