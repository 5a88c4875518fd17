//! The client of [`crate::network`] as the transport that the git protocol is spoken over.
//!
//! The protocol's code blocks and the client does not, so all of this runs on threads that may block. What goes wrong here is kept
//! beside ([`Failure`]), because on its way through the protocol's code it would lose its kind.

use std::any::Any;
use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf as _, Bytes};
use gix_error::ErrorExt;
use gix_transport::client::blocking_io::http::{GetResponse, Http, PostBodyDataKind, PostResponse};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use tokio::runtime::Handle;
use url::Url;

use crate::network::{Client, Response};
use crate::{Error, ErrorKind};

/// The value of the header `Authorization`. It has no `Debug` of its content.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization(HeaderValue);

impl Authorization {
    /// A header's value.
    ///
    /// # Errors
    /// [`ErrorKind::CredentialsInvalid`] for what cannot stand in a header.
    pub fn new(value: &str) -> Result<Self, Error> {
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            Error::new(
                ErrorKind::CredentialsInvalid,
                "the credentials have characters that no HTTP header can have",
            )
        })?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(…)")
    }
}

/// The first thing that went wrong with the host.
#[derive(Clone, Debug, Default)]
pub(super) struct Failure(Arc<Mutex<Option<Error>>>);

impl Failure {
    fn keep(&self, error: Error) -> io::Error {
        let text = error.message.clone();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        io::Error::other(text)
    }

    pub(super) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Bytes that may still be received, over all requests of a session.
#[derive(Clone, Debug)]
pub(super) struct ByteBudget(Arc<Mutex<u64>>);

impl ByteBudget {
    pub(super) fn new(bytes: u64) -> Self {
        Self(Arc::new(Mutex::new(bytes)))
    }

    pub(super) fn set(&self, bytes: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
    }

    fn take(&self, bytes: usize) -> Result<(), Error> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.checked_sub(bytes as u64).ok_or_else(|| {
            Error::new(ErrorKind::TooLarge, "the server sends more bytes than a source may have")
        })?;
        Ok(())
    }
}

/// Speaks HTTP for the git protocol. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) authorization: Option<Authorization>,
    pub(super) runtime: Handle,
    pub(super) byte_budget: ByteBudget,
    pub(super) failure: Failure,
    /// Base of the URL, if a redirect led elsewhere.
    pub(super) redirected: Option<String>,
}

impl Connection {
    fn send(&self, call: Call) -> io::Result<Body> {
        let Call { method, url, headers, body } = call;
        let url = Url::parse(&url).map_err(io::Error::other)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let sent = self.runtime.block_on(self.client.send(method, url, headers, body));
        let response = sent.map_err(|error| self.failure.keep(error))?;
        refuse_status(&host, response.status, self.authorization.is_some())
            .map_err(|error| self.failure.keep(error))?;
        Ok(Body { response, piece: Bytes::new(), connection: self.clone() })
    }

    fn build_headers(&self, lines: impl IntoIterator<Item = impl AsRef<str>>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            let Some((name, value)) = line.as_ref().split_once(':') else { continue };
            if let (Ok(name), Ok(value)) =
                (name.trim().parse::<HeaderName>(), value.trim().parse::<HeaderValue>())
            {
                headers.insert(name, value);
            }
        }
        if let Some(Authorization(value)) = &self.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        headers
    }
}

/// What a status means. Its body is not read: it is the host's words.
fn refuse_status(host: &str, status: StatusCode, has_credentials: bool) -> Result<(), Error> {
    let (kind, what) = match status.as_u16() {
        200 => return Ok(()),
        401 | 403 if has_credentials => (
            ErrorKind::AccessDenied,
            "refuses the credentials; check that they are valid and may read this repository",
        ),
        401 | 403 => (ErrorKind::AccessDenied, "wants credentials; name a Secret that has them in secretRef"),
        404 | 410 => (
            ErrorKind::RepositoryMissing,
            "has no such repository, or does not show it without the right credentials",
        ),
        429 => (ErrorKind::Unreachable, "asks to come less often"),
        500..=599 => (ErrorKind::Unreachable, "has a fault of its own"),
        _ => (ErrorKind::Malformed, "does not answer like a git server"),
    };
    Err(Error::new(kind, format!("host {host} {what} (HTTP status {})", status.as_u16())))
}

impl Http for Connection {
    type Headers = Headers;
    type ResponseBody = Reply;
    type PostBody = Request;

    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix_error::Result<GetResponse<Headers, Reply>> {
        let headers = self.build_headers(headers);
        let call = Call { method: Method::GET, url: url.to_owned(), headers, body: Vec::new() };
        let body = self.send(call).map_err(ErrorExt::raise)?;
        if let Some(target) = &body.response.redirected {
            let tail = url.strip_prefix(base_url).unwrap_or_default();
            let base = target.as_str().strip_suffix(tail).filter(|_| !tail.is_empty());
            let base = base.ok_or_else(|| {
                let message = "the host redirects to what is no git repository";
                self.failure.keep(Error::new(ErrorKind::RedirectRefused, message)).raise()
            })?;
            self.redirected = Some(base.to_owned());
        }
        let exchange = Exchange::answered(body);
        Ok(GetResponse { headers: Headers::of(&exchange), body: Reply::of(&exchange) })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix_error::Result<PostResponse<Headers, Reply, Request>> {
        let headers = self.build_headers(headers);
        let call = Call { method: Method::POST, url: url.to_owned(), headers, body: Vec::new() };
        let exchange = Exchange::prepared(self.clone(), call);
        Ok(PostResponse {
            post_body: Request(exchange.clone()),
            headers: Headers::of(&exchange),
            body: Reply::of(&exchange),
        })
    }

    fn configure(&mut self, _config: &dyn Any) -> gix_error::Result {
        Ok(())
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.redirected.clone()
    }
}

/// One request, whole.
struct Call {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A request that is written first, and whose answer is read then. The protocol's code holds its three parts.
#[derive(Clone)]
struct Exchange(Arc<Mutex<State>>);

enum State {
    Prepared(Box<(Connection, Call)>),
    Answered { headers: Vec<u8>, body: Option<Box<Body>> },
    Failed,
}

impl Exchange {
    fn prepared(connection: Connection, call: Call) -> Self {
        Self(Arc::new(Mutex::new(State::Prepared(Box::new((connection, call))))))
    }

    fn answered(body: Body) -> Self {
        Self(Arc::new(Mutex::new(State::of(body))))
    }

    /// Sends the request, if that is still to be done, and gives a part of its answer.
    fn answer<T>(&self, part: impl FnOnce(&mut Vec<u8>, &mut Option<Box<Body>>) -> T) -> io::Result<T> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Prepared(_) = &*state
            && let State::Prepared(prepared) = std::mem::replace(&mut *state, State::Failed)
        {
            let (connection, call) = *prepared;
            *state = State::of(connection.send(call)?);
        }
        match &mut *state {
            State::Answered { headers, body } => Ok(part(headers, body)),
            State::Prepared(_) | State::Failed => Err(io::Error::other("the request failed")),
        }
    }
}

impl State {
    fn of(body: Body) -> Self {
        let mut headers = Vec::new();
        for (name, value) in &body.response.headers {
            headers.extend_from_slice(name.as_str().as_bytes());
            headers.extend_from_slice(b": ");
            headers.extend_from_slice(value.as_bytes());
            headers.push(b'\n');
        }
        Self::Answered { headers, body: Some(Box::new(body)) }
    }
}

/// The body of a request.
pub(super) struct Request(Exchange);

impl Write for Request {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            State::Prepared(prepared) => {
                prepared.1.body.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            State::Answered { .. } | State::Failed => Err(io::Error::other("the request is sent already")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The headers of an answer, one a line.
pub(super) struct Headers {
    exchange: Exchange,
    lines: Option<io::Cursor<Vec<u8>>>,
}

impl Headers {
    fn of(exchange: &Exchange) -> Self {
        Self { exchange: exchange.clone(), lines: None }
    }

    fn lines(&mut self) -> io::Result<&mut io::Cursor<Vec<u8>>> {
        if self.lines.is_none() {
            let lines = self.exchange.answer(|headers, _| std::mem::take(headers))?;
            self.lines = Some(io::Cursor::new(lines));
        }
        Ok(self.lines.get_or_insert_default())
    }
}

impl Read for Headers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.lines()?.read(buffer)
    }
}

impl BufRead for Headers {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.lines()?.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Some(lines) = &mut self.lines {
            lines.consume(amount);
        }
    }
}

/// The body of an answer.
pub(super) struct Reply {
    exchange: Exchange,
    body: Option<Box<Body>>,
}

impl Reply {
    fn of(exchange: &Exchange) -> Self {
        Self { exchange: exchange.clone(), body: None }
    }
}

impl Read for Reply {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let amount = available.len().min(buffer.len());
        buffer[..amount].copy_from_slice(&available[..amount]);
        self.consume(amount);
        Ok(amount)
    }
}

impl BufRead for Reply {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.body.is_none() {
            self.body = self.exchange.answer(|_, body| body.take())?;
        }
        match &mut self.body {
            Some(body) => body.fill(),
            None => Ok(&[]),
        }
    }

    fn consume(&mut self, amount: usize) {
        if let Some(body) = &mut self.body {
            body.piece.advance(amount.min(body.piece.len()));
        }
    }
}

/// The body of an answer, as it comes.
struct Body {
    response: Response,
    piece: Bytes,
    connection: Connection,
}

impl Body {
    fn fill(&mut self) -> io::Result<&[u8]> {
        while self.piece.is_empty() {
            let Connection { runtime, byte_budget, failure, .. } = &self.connection;
            let next = runtime.block_on(self.response.chunk()).map_err(|error| failure.keep(error))?;
            let Some(piece) = next else { break };
            byte_budget.take(piece.len()).map_err(|error| failure.keep(error))?;
            self.piece = piece;
        }
        Ok(&self.piece)
    }
}
