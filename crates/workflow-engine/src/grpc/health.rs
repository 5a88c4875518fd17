//! `grpc.health.v1`, for load balancers and probes without a token. It reports only whether this node serves.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::node::Node;

/// How often a watch checks the status.
const INTERVAL: Duration = Duration::from_secs(1);
/// Limit of concurrent watches, since callers need no token.
const MAX_WATCHES: usize = 256;

/// Health of one node; all of its services have the same status.
#[derive(Debug, Clone)]
pub(super) struct NodeHealth {
    node: Arc<Node>,
    services: Arc<[&'static str]>,
    watches: Arc<Semaphore>,
}

impl NodeHealth {
    pub(super) fn server(node: Arc<Node>, services: &[&'static str]) -> HealthServer<Self> {
        HealthServer::new(Self {
            node,
            services: services.into(),
            watches: Arc::new(Semaphore::new(MAX_WATCHES)),
        })
    }

    /// The empty name stands for the whole node.
    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.services.contains(&service)
    }
}

fn status_of(node: &Node) -> ServingStatus {
    match node.obstacle() {
        None => ServingStatus::Serving,
        Some(_) => ServingStatus::NotServing,
    }
}

/// State of a watch between two messages.
struct Watch {
    health: NodeHealth,
    known: bool,
    reported: Option<ServingStatus>,
    _permit: OwnedSemaphorePermit,
}

impl Watch {
    /// Sends the current status at once, then each change. Ends when the node stops.
    async fn next(mut self) -> Option<(Result<HealthCheckResponse, Status>, Self)> {
        loop {
            let status =
                if self.known { status_of(&self.health.node) } else { ServingStatus::ServiceUnknown };
            if self.reported != Some(status) {
                self.reported = Some(status);
                return Some((Ok(HealthCheckResponse { status: status.into() }), self));
            }
            self.health.node.sleep(INTERVAL).await?;
        }
    }
}

#[tonic::async_trait]
impl Health for NodeHealth {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.knows(&request.get_ref().service) {
            return Err(Status::not_found("this node has no such service"));
        }
        Ok(Response::new(HealthCheckResponse { status: status_of(&self.node).into() }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let permit = Arc::clone(&self.watches)
            .try_acquire_owned()
            .map_err(|_| Status::unavailable("too many watches of this node's health"))?;
        let known = self.knows(&request.get_ref().service);
        let watch = Watch { health: self.clone(), known, reported: None, _permit: permit };
        Ok(Response::new(Box::pin(stream::unfold(watch, Watch::next))))
    }
}
