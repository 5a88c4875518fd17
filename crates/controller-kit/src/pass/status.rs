//! The whole status: its head from the assessment, the rest from the kind. Pure.

use api_types::condition::{PAUSED, SUPPORTED};
use api_types::reason::CommonReason;
use api_types::status::{Status as _, StatusHead};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource as _;
use kube::core::object::HasStatus as _;

use super::{AssessmentOf, Kind};
use crate::condition::{ConditionStatus, DesiredCondition, Readiness, merge, summary};
use crate::message::bounded;

/// The kind's part of a status.
pub struct OwnStatus<K: Kind> {
    /// Its fields. The head is set afterwards.
    pub fields: K::Status,
    /// Its conditions.
    pub conditions: Vec<DesiredCondition<K::Reason>>,
    /// Former conditions that stay as they are, because this pass did not check them.
    pub kept: Vec<Condition>,
}

/// The status that follows from an assessment.
#[must_use]
pub fn build_status<K: Kind>(object: &K::Object, assessment: &AssessmentOf<K>, now: Timestamp) -> K::Status {
    let former = object.status().cloned().unwrap_or_default();
    if let Some(kept) = K::keep_status(object, &former, assessment, now) {
        return kept;
    }
    let generation = object.meta().generation;
    let message = &assessment.message;
    let mut desired = summary(assessment.readiness, assessment.reason, message);
    if K::is_paused(object) {
        let paused = CommonReason::Paused.into();
        desired.push(DesiredCondition::new(PAUSED, ConditionStatus::True, paused, "spec.paused is true"));
    }
    if assessment.reason == CommonReason::FieldsNotActedOn.into() {
        let reason = assessment.reason;
        desired.push(DesiredCondition::new(SUPPORTED, ConditionStatus::False, reason, message));
    }
    let own = K::build_own_status(object, &former, assessment, now);
    desired.extend(own.conditions);
    let mut conditions = merge(former.conditions(), desired, generation, now);
    conditions.extend(own.kept);
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    conditions.dedup_by(|a, b| a.type_ == b.type_);
    let mut status = own.fields;
    status.set_head(StatusHead {
        observed_generation: generation,
        phase: Some(assessment.phase),
        ready: assessment.readiness == Readiness::Ready,
        message: Some(bounded(message)),
        conditions,
    });
    K::complete_status(object, status, assessment, now)
}
