//! [`EngineClient`]: the engine over gRPC.

mod controller;
mod instances;
mod worker;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable as _};
use engine_api::{convert::Malformed, refusal};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tonic::{
    Request, Response, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use crate::{EngineAddress, EngineError, ErrorClass, Operation, Writer};

mod trace_context;
pub use worker::JobStream;

/// How long an engine may take. A call's deadline covers connecting, sending, the answer and all repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands, TLS included.
    pub connect: Duration,
    /// A call that changes nothing.
    pub read: Duration,
    /// A call that changes something.
    pub write: Duration,
    /// Judging or deploying a document, and what changes up to a thousand instances.
    pub deploy: Duration,
    /// Silence on a stream: the engine promises a heartbeat every 10 s.
    pub stream_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            read: Duration::from_secs(10),
            write: Duration::from_secs(10),
            deploy: Duration::from_secs(30),
            stream_idle: Duration::from_secs(30),
        }
    }
}

/// Repetitions of a read that found the engine unavailable. The deadline of the call ends them too.
const READ_RETRIES: usize = 2;
const READ_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The engine over gRPC: [`Engine`](crate::Engine) for controllers, and the calls of workers.
///
/// Cheap to clone; all clones share one connection, which is made by the first call and made again when lost.
#[derive(Clone)]
pub struct EngineClient {
    channel: AuthenticatedChannel,
    timeouts: Timeouts,
    address: Arc<EngineAddress>,
    pub(crate) denied: Arc<AtomicBool>,
}

type AuthenticatedChannel = InterceptedService<Channel, Outgoing>;

impl EngineClient {
    pub(crate) fn new(
        channel: Channel,
        outgoing: Outgoing,
        address: EngineAddress,
        timeouts: Timeouts,
    ) -> Self {
        Self {
            channel: InterceptedService::new(channel, outgoing),
            timeouts,
            address: Arc::new(address),
            denied: Arc::default(),
        }
    }

    /// Whether the engine refused the credential of this client.
    pub(crate) fn was_denied(&self) -> bool {
        self.denied.load(Ordering::Relaxed)
    }

    /// One attempt: for calls that change something. The caller repeats it with the same `request_id`.
    async fn write<Ask, Answer, Sent>(
        &self,
        operation: Operation,
        deadline: Duration,
        ask: Ask,
        send: impl FnOnce(AuthenticatedChannel, Request<Ask>) -> Sent,
    ) -> Result<Answer, EngineError>
    where
        Sent: Future<Output = Result<Response<Answer>, Status>>,
    {
        let mut request = Request::new(ask);
        request.set_timeout(deadline);
        let answered = tokio::time::timeout(deadline, send(self.channel.clone(), request)).await;
        answered
            .unwrap_or_else(|_| Err(Status::deadline_exceeded(format!("within {deadline:?}"))))
            .map_or_else(|status| Err(self.failed(operation, &status)), |response| Ok(response.into_inner()))
    }

    /// A few attempts within one deadline: for calls that change nothing.
    async fn read<Ask, Answer, Sent>(
        &self,
        operation: Operation,
        deadline: Duration,
        ask: Ask,
        send: impl Fn(AuthenticatedChannel, Request<Ask>) -> Sent,
    ) -> Result<Answer, EngineError>
    where
        Ask: Clone,
        Sent: Future<Output = Result<Response<Answer>, Status>>,
    {
        let attempts = (|| self.write(operation, deadline, ask.clone(), &send))
            .retry(
                ExponentialBuilder::new().with_jitter().with_min_delay(READ_RETRY_DELAY).with_max_times(READ_RETRIES),
            )
            .when(EngineError::is_unavailable)
            .notify(|error, after| tracing::debug!(engine = %self.address, %error, ?after, "engine read is repeated"));
        tokio::time::timeout(deadline, attempts).await.unwrap_or_else(|_| {
            Err(self.failed(operation, &Status::deadline_exceeded(format!("within {deadline:?}"))))
        })
    }

    /// Opens a stream; its messages end with an error, always, also after too long a silence.
    async fn open<Ask, Wire, Message, Sent>(
        &self,
        operation: Operation,
        ask: Ask,
        send: impl FnOnce(AuthenticatedChannel, Request<Ask>) -> Sent,
    ) -> Result<BoxStream<'static, Result<Message, EngineError>>, EngineError>
    where
        Message: TryFrom<Wire, Error = Malformed> + Send + 'static,
        Wire: Send + 'static,
        Sent: Future<Output = Result<Response<Streaming<Wire>>, Status>>,
    {
        let opened =
            tokio::time::timeout(self.timeouts.read, send(self.channel.clone(), Request::new(ask))).await;
        let messages = opened
            .unwrap_or_else(|_| Err(Status::deadline_exceeded(format!("within {:?}", self.timeouts.read))))
            .map_err(|status| self.failed(operation, &status))?
            .into_inner();
        let idle = self.timeouts.stream_idle;
        let client = self.clone();
        let next = move |messages: Option<Streaming<Wire>>| {
            let client = client.clone();
            async move {
                let mut messages = messages?;
                let message = match tokio::time::timeout(idle, messages.message()).await {
                    Ok(Ok(Some(wire))) => Message::try_from(wire)
                        .map_err(|malformed| EngineError::malformed(operation, &malformed)),
                    Ok(Ok(None)) => {
                        Err(EngineError::new(operation, ErrorClass::Unavailable, "engine ended the stream"))
                    }
                    Ok(Err(status)) => Err(client.failed(operation, &status)),
                    Err(_) => Err(EngineError::new(
                        operation,
                        ErrorClass::Unavailable,
                        format!("engine has been silent for {idle:?}"),
                    )),
                };
                let rest = message.is_ok().then_some(messages);
                Some((message, rest))
            }
        };
        Ok(stream::unfold(Some(messages), next).boxed())
    }

    fn failed(&self, operation: Operation, status: &Status) -> EngineError {
        let error = EngineError::refused(operation, refusal::read(status));
        if *error.class() == ErrorClass::Denied {
            self.denied.store(true, Ordering::Relaxed);
        }
        error
    }
}

impl fmt::Debug for EngineClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineClient").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Puts who we are and which trace we are in on every request.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) authorization: MetadataValue<Ascii>,
    pub(crate) writer: Option<Writer>,
}

impl Interceptor for Outgoing {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.authorization.clone());
        if let Some(writer) = &self.writer {
            writer.show(metadata)?;
        }
        trace_context::inject(metadata);
        Ok(request)
    }
}
