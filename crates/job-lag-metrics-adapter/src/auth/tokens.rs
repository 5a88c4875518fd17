//! Bearer tokens, judged by the Kubernetes API (TokenReview).
//!
//! Every caller that reaches the port can send tokens, and each one that was not seen before costs a review. So the
//! number of reviews of tokens that were never good is limited: in all, for one address, and at the same time. Known
//! callers, and kube-apiserver with its certificate, are not affected.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::{Api, Client, api::PostParams};
use sha2::{Digest, Sha256};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{
    Identity,
    budget::{Budget, Rate},
    review_cache::{Answer, ReviewCache},
};
use crate::error::ApiError;

const CAPACITY: usize = 1024;
const HOLDS: Duration = Duration::from_secs(10);
/// After a failed review the next one is not tried before this.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);
/// A client waits for a metric no longer than this; the autoscaler has five workers for all its requests.
const DEADLINE: Duration = Duration::from_secs(1);
/// Reviews of unknown callers: a scraper brings a new token once an hour, and a cluster has a handful of scrapers.
const UNKNOWN_CALLERS: Rate = Rate { per_second: 10.0, burst: 50.0 };
/// Of one address.
const UNKNOWN_OF_ADDRESS: Rate = Rate { per_second: 2.0, burst: 10.0 };
/// At once.
const UNKNOWN_CALLERS_AT_ONCE: usize = 8;

pub struct TokenReviews {
    api: Api<TokenReview>,
    /// Tokens that were good once, by digest: a token is a secret and must not be kept in memory.
    known: ReviewCache<[u8; 32], Verdict>,
    /// All others. They have a place of their own, so that however many come, no known one is forgotten for them.
    unknown: ReviewCache<[u8; 32], Verdict>,
    budget: Budget,
    at_once: Semaphore,
}

#[derive(Clone, Debug)]
enum Verdict {
    Good(Identity),
    /// Not good, or nobody could tell.
    Bad,
    /// Not looked at.
    TooMany,
}

impl TokenReviews {
    pub fn new(client: Client) -> Self {
        Self {
            api: Api::all(client),
            known: ReviewCache::new(CAPACITY),
            unknown: ReviewCache::new(CAPACITY),
            budget: Budget::new(UNKNOWN_CALLERS, UNKNOWN_OF_ADDRESS),
            at_once: Semaphore::new(UNKNOWN_CALLERS_AT_ONCE),
        }
    }

    /// Whose token it is; `address` is where it comes from.
    pub async fn identify(&self, token: &str, address: IpAddr) -> Result<Identity, ApiError> {
        let digest = Sha256::digest(token).into();
        let verdict = if self.known.contains(&digest) {
            self.known.get_or_ask(&digest, self.review(token)).await
        } else {
            let answer = self.unknown.answer_or_ask(&digest, self.review_unknown(token, address)).await;
            if let Verdict::Good(_) = answer.value {
                let value = answer.value.clone();
                self.known.get_or_ask(&digest, async { answer }).await;
                value
            } else {
                answer.value
            }
        };
        match verdict {
            Verdict::Good(identity) => Ok(identity),
            Verdict::Bad => Err(ApiError::Unauthorized),
            Verdict::TooMany => Err(ApiError::TooManyTokens),
        }
    }

    async fn review_unknown(&self, token: &str, address: IpAddr) -> Answer<Verdict> {
        match self.at_once.try_acquire() {
            Ok(_permit) if self.budget.take(address) => self.review(token).await,
            _ => {
                tracing::debug!(%address, "a bearer token was not reviewed: there are too many unknown ones");
                Answer { value: Verdict::TooMany, asked: Instant::now(), holds: Duration::ZERO }
            }
        }
    }

    async fn review(&self, token: &str) -> Answer<Verdict> {
        let asked = Instant::now();
        let review = TokenReview {
            spec: TokenReviewSpec { token: Some(token.to_owned()), audiences: None },
            ..TokenReview::default()
        };
        match timeout(DEADLINE, self.api.create(&PostParams::default(), &review)).await {
            Ok(Ok(review)) => {
                let value = review.status.and_then(identity).map_or(Verdict::Bad, Verdict::Good);
                Answer { value, asked, holds: HOLDS }
            }
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "failed to review a bearer token");
                Answer { value: Verdict::Bad, asked, holds: FAILURE_HOLDS }
            }
            Err(_) => {
                tracing::warn!("the Kubernetes API did not answer a token review in time");
                Answer { value: Verdict::Bad, asked, holds: FAILURE_HOLDS }
            }
        }
    }
}

fn identity(status: TokenReviewStatus) -> Option<Identity> {
    let user = status.user.filter(|_| status.authenticated == Some(true))?;
    let extra: BTreeMap<String, Vec<String>> = user.extra.unwrap_or_default();
    Some(Identity::new(user.username?, user.uid, user.groups.unwrap_or_default(), extra))
}
