//! Where job lag comes from: one stream per cluster.

use std::{sync::Arc, time::Duration};

use api_types::WorkflowCluster;
use engine_access::engine::{AccessError, EngineConnector};
use engine_client::{
    EngineError, ErrorClass,
    model::{JobLagFilter, JobLagUpdate},
};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};

/// The engine sends changes at most this often. Far below the autoscaler's period, and its own smallest step.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Opens a cluster's lag stream.
pub trait LagSource: Send + Sync + 'static {
    /// A stream that begins with a snapshot and ends with an error. Nothing is tried again in here.
    fn watch(&self, cluster: Arc<WorkflowCluster>) -> BoxStream<'static, Result<JobLagUpdate, SourceError>>;
}

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("failed to watch job lag")]
    Watch(#[source] EngineError),
}

/// The engines themselves, found through their WorkflowCluster.
pub struct EngineSource(EngineConnector);

impl EngineSource {
    pub fn new(connector: EngineConnector) -> Self {
        Self(connector)
    }
}

impl LagSource for EngineSource {
    fn watch(&self, cluster: Arc<WorkflowCluster>) -> BoxStream<'static, Result<JobLagUpdate, SourceError>> {
        let connector = self.0.clone();
        let opened = async move {
            let updates = async {
                let engine = connector.connect(&cluster).await?;
                engine.watch_job_lag(&JobLagFilter::default(), MIN_INTERVAL).await.map_err(SourceError::Watch)
            };
            match updates.await {
                Ok(updates) => updates
                    .map(move |update| {
                        update.map_err(|error| {
                            forget_credential(&connector, &cluster, &error);
                            SourceError::Watch(error)
                        })
                    })
                    .boxed(),
                Err(error) => {
                    if let SourceError::Watch(error) = &error {
                        forget_credential(&connector, &cluster, error);
                    }
                    stream::iter([Err(error)]).boxed()
                }
            }
        };
        stream::once(opened).flatten().boxed()
    }
}

/// A refused token or an untrusted certificate may have been rotated: the next attempt reads both anew.
fn forget_credential(connector: &EngineConnector, cluster: &WorkflowCluster, error: &EngineError) {
    if matches!(error.class(), ErrorClass::Denied | ErrorClass::Unavailable) {
        connector.forget(cluster);
    }
}
