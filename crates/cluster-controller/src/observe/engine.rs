//! What an engine pod says of itself, asked as callers ask it, with TLS and token. One pod answers, for itself. Of the
//! others only their readiness is known.

use std::time::Duration;

use api_types::WorkflowCluster;
use engine_client::EngineError;
use engine_client::model::HealthState;

use super::children::Children;
use crate::context::Context;

/// Longest wait for CA, token and answer together.
const DEADLINE: Duration = Duration::from_secs(10);

/// What the engine says.
#[derive(Clone, Debug, PartialEq)]
pub enum EngineView {
    /// No pod is ready, or no endpoint is published yet.
    NotAsked,
    /// It did not answer, or it cannot be called.
    Unreachable(String),
    /// It answered.
    Answered {
        /// The worst of its checks.
        state: HealthState,
        /// What is wrong, unless it serves.
        problem: Option<String>,
    },
}

impl EngineView {
    /// Whether the engine says that all is well.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        matches!(self, Self::Answered { state: HealthState::Serving, .. })
    }
}

/// Asks the engine if a pod could answer.
pub async fn observe_engine(context: &Context, cluster: &WorkflowCluster, children: &Children) -> EngineView {
    let has_endpoint = cluster.status.as_ref().is_some_and(|status| status.endpoint.is_some());
    if children.ready_replicas() == 0 || !has_endpoint {
        return EngineView::NotAsked;
    }
    let asked = tokio::time::timeout(DEADLINE, ask(context, cluster)).await;
    asked.unwrap_or_else(|_| EngineView::Unreachable(format!("no answer within {} s", DEADLINE.as_secs())))
}

async fn ask(context: &Context, cluster: &WorkflowCluster) -> EngineView {
    let engine = match context.engines.connect(cluster).await {
        Ok(engine) => engine,
        Err(error) => return EngineView::Unreachable(error.to_string()),
    };
    match engine.health().await {
        Ok(health) => {
            let worst =
                health.checks.iter().find(|check| check.state == health.overall && check.reason.is_some());
            EngineView::Answered {
                state: health.overall,
                problem: worst.and_then(|check| check.reason.clone()),
            }
        }
        Err(error) => {
            if is_stale_access(&error) {
                context.engines.forget(cluster);
            }
            EngineView::Unreachable(error.to_string())
        }
    }
}

/// A rotated CA or token is read anew by the next pass.
fn is_stale_access(error: &EngineError) -> bool {
    matches!(error.class(), engine_client::ErrorClass::Denied | engine_client::ErrorClass::Unavailable)
}
