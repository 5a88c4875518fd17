//! What a user may read, judged by the Kubernetes API (SubjectAccessReview).
//!
//! The label selector is left out of the review: selectors can only narrow what is allowed, and with it each job
//! type would cost a review of its own. Decisions in use are renewed in the background, because they hold for less
//! than the autoscaler's period and a lone autoscaler would never find one.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::{Api, Client, api::PostParams};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{
    Identity,
    review_cache::{Answer, ReviewCache},
};
use crate::{
    error::ApiError,
    wire::{self, Metric},
};

const CAPACITY: usize = 8192;
const HOLDS: Duration = Duration::from_secs(10);
/// Renewed from this age on, so that the new decision is there before the old one ends.
const RENEW_AT: Duration = Duration::from_secs(7);
/// After a failed review the next one is not tried before this.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);
/// See the token reviews: a metric is answered within a second or not at all.
const DEADLINE: Duration = Duration::from_secs(1);
/// Reviews in flight while renewing; kube-apiserver has other clients too.
const RENEWALS: usize = 8;

pub struct AccessReviews {
    api: Api<SubjectAccessReview>,
    cache: ReviewCache<Question, Decision>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    identity: Identity,
    namespace: String,
    metric: Metric,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Allowed,
    Denied,
    /// Not known, so refused.
    Failed,
}

impl AccessReviews {
    pub fn new(client: Client) -> Self {
        Self { api: Api::all(client), cache: ReviewCache::new(CAPACITY) }
    }

    /// Whether `identity` may list `metric` in `namespace`.
    pub async fn check(&self, identity: &Identity, namespace: &str, metric: Metric) -> Result<(), ApiError> {
        if identity.is_master() {
            return Ok(());
        }
        let question = Question { identity: identity.clone(), namespace: namespace.to_owned(), metric };
        match self.cache.get_or_ask(&question, self.review(&question)).await {
            Decision::Allowed => Ok(()),
            Decision::Denied => Err(ApiError::Forbidden(format!(
                "{metric}.{} is forbidden: User {:?} cannot list resource {:?} in API group {:?} in the namespace {:?}",
                wire::GROUP,
                identity.user,
                metric.name(),
                wire::GROUP,
                namespace
            ))),
            Decision::Failed => Err(ApiError::ReviewFailed),
        }
    }

    /// Renews decisions in use, for ever.
    pub async fn renew(&self) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            stream::iter(self.cache.aging(RENEW_AT))
                .for_each_concurrent(RENEWALS, |question| self.renew_one(question))
                .await;
        }
    }

    async fn renew_one(&self, question: Question) {
        let answer = self.review(&question).await;
        // A failed review changes nothing: the old decision ends at its time, and then the answer is no.
        if answer.value != Decision::Failed {
            self.cache.replace(&question, answer).await;
        }
    }

    async fn review(&self, question: &Question) -> Answer<Decision> {
        let asked = Instant::now();
        let review = build_review(question);
        match timeout(DEADLINE, self.api.create(&PostParams::default(), &review)).await {
            Ok(Ok(review)) => {
                let allowed =
                    review.status.is_some_and(|status| status.allowed && status.denied != Some(true));
                Answer {
                    value: if allowed { Decision::Allowed } else { Decision::Denied },
                    asked,
                    holds: HOLDS,
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    user = question.identity.user,
                    namespace = question.namespace,
                    "failed to review access"
                );
                Answer { value: Decision::Failed, asked, holds: FAILURE_HOLDS }
            }
            Err(_) => {
                tracing::warn!(
                    user = question.identity.user,
                    namespace = question.namespace,
                    "the Kubernetes API did not answer an access review in time"
                );
                Answer { value: Decision::Failed, asked, holds: FAILURE_HOLDS }
            }
        }
    }
}

fn build_review(question: &Question) -> SubjectAccessReview {
    let Question { identity, namespace, metric } = question;
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(identity.user.clone()),
            uid: identity.uid.clone(),
            groups: Some(identity.groups.clone()),
            extra: (!identity.extra.is_empty()).then(|| identity.extra.clone()),
            resource_attributes: Some(ResourceAttributes {
                group: Some(wire::GROUP.to_owned()),
                version: Some(wire::VERSION.to_owned()),
                resource: Some(metric.name().to_owned()),
                namespace: Some(namespace.clone()),
                verb: Some("list".to_owned()),
                ..ResourceAttributes::default()
            }),
            non_resource_attributes: None,
        },
        ..SubjectAccessReview::default()
    }
}
