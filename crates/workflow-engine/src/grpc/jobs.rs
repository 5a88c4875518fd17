use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use engine_api::model::{JobLagFilter, JobRef};
use engine_api::proto::job_service_server::JobService;
use engine_api::proto::{
    ActivateJobsRequest, ActivateJobsResponse, CompleteJobRequest, CompleteJobResponse, CompleteJobsRequest,
    CompleteJobsResponse, ExtendJobRequest, ExtendJobResponse, FailJobRequest, FailJobResponse,
    GetInstanceRequest, GetInstanceResponse, ListJobLagRequest, ListJobLagResponse, StartInstanceRequest,
    StartInstanceResponse, StartInstancesRequest, StartInstancesResponse, StreamActivatedJobsRequest,
    StreamActivatedJobsResponse, WatchJobLagRequest, WatchJobLagResponse,
};
use futures::{Stream, TryStreamExt as _};
use tonic::{Code, Extensions, Request, Response, Status};

use super::{Api, Method, Withdrawn, to_status};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::streams;

#[tonic::async_trait]
impl JobService for Api {
    async fn start_instance(
        &self,
        request: Request<StartInstanceRequest>,
    ) -> Result<Response<StartInstanceResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.start_instance_as(&extensions, request).await
    }

    async fn start_instances(
        &self,
        request: Request<StartInstancesRequest>,
    ) -> Result<Response<StartInstancesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let tenant_id = request.tenant_id.clone();
        self.call_tenant(Method::StartInstances, &extensions, &tenant_id, |engine, tenant| async move {
            let remembered = Method::StartInstances.identify(&request.request_id, &request)?;
            engine.start_instances(&tenant, request.try_into()?, remembered).await.map(Into::into)
        })
        .await
    }

    async fn activate_jobs(
        &self,
        request: Request<ActivateJobsRequest>,
    ) -> Result<Response<ActivateJobsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let tenant_id = request.tenant_id.clone();
        self.call_tenant(Method::ActivateJobs, &extensions, &tenant_id, |engine, tenant| async move {
            engine.activate(&tenant, request.try_into()?).await.map(Into::into)
        })
        .await
    }

    async fn complete_job(
        &self,
        request: Request<CompleteJobRequest>,
    ) -> Result<Response<CompleteJobResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let tenant_id = request.tenant_id.clone();
        self.call_tenant(Method::CompleteJob, &extensions, &tenant_id, |engine, tenant| async move {
            engine.complete(&tenant, request.try_into()?).await?;
            Ok(CompleteJobResponse {})
        })
        .await
    }

    async fn complete_jobs(
        &self,
        request: Request<CompleteJobsRequest>,
    ) -> Result<Response<CompleteJobsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let tenant_id = request.tenant_id.clone();
        self.call_tenant(Method::CompleteJobs, &extensions, &tenant_id, |engine, tenant| async move {
            let lost = engine.complete_many(&tenant, request.try_into()?).await?;
            Ok(CompleteJobsResponse { lost })
        })
        .await
    }

    async fn fail_job(&self, request: Request<FailJobRequest>) -> Result<Response<FailJobResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let tenant_id = request.tenant_id.clone();
        self.call_tenant(Method::FailJob, &extensions, &tenant_id, |engine, tenant| async move {
            let incident = engine.fail(&tenant, request.try_into()?).await?;
            Ok(FailJobResponse { incident })
        })
        .await
    }

    async fn extend_job(
        &self,
        request: Request<ExtendJobRequest>,
    ) -> Result<Response<ExtendJobResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let tenant_id = request.tenant_id.clone();
        self.call_tenant(Method::ExtendJob, &extensions, &tenant_id, |engine, tenant| async move {
            let (job, lease): (JobRef, Duration) = request.try_into()?;
            engine.extend(&tenant, &job, lease).await.map(Into::into)
        })
        .await
    }

    async fn get_instance(
        &self,
        request: Request<GetInstanceRequest>,
    ) -> Result<Response<GetInstanceResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.get_instance_as(&extensions, request).await
    }

    async fn list_job_lag(
        &self,
        request: Request<ListJobLagRequest>,
    ) -> Result<Response<ListJobLagResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let ListJobLagRequest { tenant_ids, job_types, page_token } = request;
        let filter = JobLagFilter { tenant_ids, job_types };
        self.call(Method::ListJobLag, &extensions, |engine| async move {
            streams::lags::list(&engine, filter, &page_token).await
        })
        .await
    }

    type StreamActivatedJobsStream = Counted<StreamActivatedJobsResponse>;

    async fn stream_activated_jobs(
        &self,
        request: Request<StreamActivatedJobsRequest>,
    ) -> Result<Response<Self::StreamActivatedJobsStream>, Status> {
        let (_, extensions, request) = request.into_parts();
        let tenant_id = request.tenant_id.clone();
        let method = Method::StreamActivatedJobs;
        let open = |engine, tenant| async move {
            let jobs = streams::jobs::open(engine, tenant, request.try_into()?)?;
            Ok(jobs.map_ok(StreamActivatedJobsResponse::from))
        };
        let opened = self.call_tenant(method, &extensions, &tenant_id, open).await?;
        Ok(opened.map(|stream| Counted::new(method, self.node.metrics.clone(), &extensions, stream)))
    }

    type WatchJobLagStream = Counted<WatchJobLagResponse>;

    async fn watch_job_lag(
        &self,
        request: Request<WatchJobLagRequest>,
    ) -> Result<Response<Self::WatchJobLagStream>, Status> {
        let (_, extensions, request) = request.into_parts();
        let method = Method::WatchJobLag;
        let open = |engine| async move {
            let (filter, min_interval) = request.try_into()?;
            streams::lags::open(engine, filter, min_interval).await
        };
        let opened = self.call(method, &extensions, open).await?;
        Ok(opened.map(|stream| Counted::new(method, self.node.metrics.clone(), &extensions, stream)))
    }
}

/// A response stream. It counts open streams and their final codes in the metrics, and ends when the caller's token is
/// no longer accepted.
pub struct Counted<T> {
    method: Method,
    metrics: Metrics,
    inner: Pin<Box<dyn Stream<Item = Result<T, Error>> + Send>>,
    withdrawn: Pin<Box<dyn Future<Output = ()> + Send>>,
    ended: Code,
}

impl<T> Counted<T> {
    fn new(
        method: Method,
        metrics: Metrics,
        extensions: &Extensions,
        inner: impl Stream<Item = Result<T, Error>> + Send + 'static,
    ) -> Self {
        metrics.stream_opened(method);
        let withdrawn =
            extensions.get::<Withdrawn>().map(|withdrawn| withdrawn.0.clone()).unwrap_or_default();
        let withdrawn = Box::pin(withdrawn.cancelled_owned());
        Self { method, metrics, inner: Box::pin(inner), withdrawn, ended: Code::Cancelled }
    }
}

impl<T> Stream for Counted<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let method = self.method;
        if self.ended != Code::Cancelled {
            return Poll::Ready(None);
        }
        if self.withdrawn.as_mut().poll(context).is_ready() {
            self.ended = Code::Unauthenticated;
            return Poll::Ready(Some(Err(Status::unauthenticated(
                "this token is accepted no more: read the Secret that it came from again",
            ))));
        }
        self.inner.as_mut().poll_next(context).map(|item| match item {
            Some(Err(error)) => {
                let status = to_status(method, error);
                self.ended = status.code();
                Some(Err(status))
            }
            Some(Ok(message)) => Some(Ok(message)),
            None => None,
        })
    }
}

impl<T> Drop for Counted<T> {
    fn drop(&mut self) {
        self.metrics.stream_ended(self.method, self.ended);
    }
}
