//! Bearer tokens, judged by the Kubernetes API (TokenReview).

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::{Api, Client, api::PostParams};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};

use super::{
    Identity,
    review_cache::{Answer, ReviewCache},
};

const CAPACITY: usize = 1024;
const HOLDS: Duration = Duration::from_secs(10);
/// After a failed review the next one is not tried before this.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);
/// A client waits for a metric no longer than this; the autoscaler has five workers for all its requests.
const DEADLINE: Duration = Duration::from_secs(1);

pub struct TokenReviews {
    api: Api<TokenReview>,
    // By digest: a token is a secret and must not lie about in memory.
    cache: ReviewCache<[u8; 32], Option<Identity>>,
}

impl TokenReviews {
    pub fn new(client: Client) -> Self {
        Self { api: Api::all(client), cache: ReviewCache::new(CAPACITY) }
    }

    /// `None`: the token is not good, or nobody could tell.
    pub async fn identify(&self, token: &str) -> Option<Identity> {
        let digest = Sha256::digest(token).into();
        self.cache.get_or_ask(&digest, self.review(token)).await
    }

    async fn review(&self, token: &str) -> Answer<Option<Identity>> {
        let asked = Instant::now();
        let review = TokenReview {
            spec: TokenReviewSpec { token: Some(token.to_owned()), audiences: None },
            ..TokenReview::default()
        };
        match timeout(DEADLINE, self.api.create(&PostParams::default(), &review)).await {
            Ok(Ok(review)) => Answer { value: review.status.and_then(identity), asked, holds: HOLDS },
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "failed to review a bearer token");
                Answer { value: None, asked, holds: FAILURE_HOLDS }
            }
            Err(_) => {
                tracing::warn!("the Kubernetes API did not answer a token review in time");
                Answer { value: None, asked, holds: FAILURE_HOLDS }
            }
        }
    }
}

fn identity(status: TokenReviewStatus) -> Option<Identity> {
    let user = status.user.filter(|_| status.authenticated == Some(true))?;
    let extra: BTreeMap<String, Vec<String>> = user.extra.unwrap_or_default();
    Some(Identity::new(user.username?, user.uid, user.groups.unwrap_or_default(), extra))
}
