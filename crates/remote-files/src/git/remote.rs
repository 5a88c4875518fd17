//! A conversation with a git server: its refs, then packs.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use gix_hash::ObjectId;
use gix_protocol::fetch::{Arguments, Response};
use gix_protocol::handshake::Ref;
use gix_protocol::ls_refs::RefPrefixes;
use gix_protocol::{Command, Handshake, LsRefsCommand};
use gix_transport::client::blocking_io::http;
use gix_transport::{Protocol, Service};
use gix_utils::progress::Discard;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::pack;
use super::repository::{Access, Budget};
use super::transport::{ByteBudget, Connection, Failure};
use super::url::RepositoryUrl;
use crate::network::{Client, Endpoint};
use crate::{Error, ErrorKind};

/// Server and client know each other by this.
const AGENT: &str = concat!("workflow-operator/", env!("CARGO_PKG_VERSION"));

/// A conversation, after the greeting. Its calls block.
pub(super) struct Remote {
    transport: http::Transport<Connection>,
    handshake: Handshake,
    byte_budget: ByteBudget,
    failure: Failure,
}

/// What is asked for.
pub(super) enum Ask<'a> {
    /// The commit with its trees; with all its files where the server cannot leave them out.
    Commit(ObjectId),
    /// Files, by their ids.
    Blobs(&'a [ObjectId]),
}

impl Remote {
    /// Greets the server.
    pub(super) fn connect(
        url: &RepositoryUrl,
        endpoint: &Endpoint,
        access: &Access,
        budget: &Budget,
        deadline: Instant,
        runtime: Handle,
    ) -> Result<Self, Error> {
        let (byte_budget, failure) = (ByteBudget::new(budget.refs_bytes), Failure::default());
        let connection = Connection {
            client: Client::new(endpoint, &access.trust, deadline)?,
            authorization: access.authorization.clone(),
            runtime,
            byte_budget: byte_budget.clone(),
            failure: failure.clone(),
            redirected: None,
        };
        let address = gix_url::parse(url.as_url().as_str()).map_err(|_| no_git(url))?;
        let mut transport = http::Transport::new_http(connection, address, Protocol::V2, false);
        let greeted = gix_protocol::handshake(
            &mut transport,
            Service::UploadPack,
            // Credentials go with every request already.
            |_| Ok(None),
            Vec::new(),
            &mut Discard,
        );
        let handshake = greeted.map_err(|_| failure.take().unwrap_or_else(|| no_git(url)))?;
        Ok(Self { transport, handshake, byte_budget, failure })
    }

    /// The refs of these names, and maybe others.
    pub(super) fn list_refs(&mut self, names: &[String]) -> Result<Vec<Ref>, Error> {
        // The former protocol sends them with its greeting.
        if let Some(refs) = &self.handshake.refs {
            return Ok(refs.clone());
        }
        let mut prefixes = RefPrefixes::new();
        prefixes.extend(names.iter().map(|name| name.as_str().into()));
        let command = LsRefsCommand::new(Some(prefixes), &self.handshake.capabilities, agent());
        let listed = command.invoke_blocking(&mut self.transport, &mut Discard, false);
        listed.map_err(|_| self.failure.take().unwrap_or_else(|| malformed("its list of refs")))
    }

    /// Receives a pack into `directory`.
    pub(super) fn fetch(
        &mut self,
        ask: &Ask<'_>,
        directory: &Path,
        budget: &Budget,
        is_over: &AtomicBool,
    ) -> Result<(), Error> {
        self.byte_budget.set(budget.pack_bytes);
        let version = self.handshake.server_protocol_version;
        let mut features = Command::Fetch.default_features(version, &self.handshake.capabilities);
        features.push(agent());
        let mut arguments = Arguments::new(version, features, false);
        match ask {
            Ask::Commit(commit) => {
                arguments.want(commit);
                // A server of a former version need not give a file by its id later.
                if version == Protocol::V2 && arguments.can_use_filter() {
                    arguments.filter("blob:none");
                }
                if arguments.can_use_deepen() {
                    arguments.deepen(1);
                }
            }
            Ask::Blobs(blobs) => blobs.iter().for_each(|blob| arguments.want(blob)),
        }
        let failure = self.failure.clone();
        let refused = |text: &str| failure.take().unwrap_or_else(|| refusal(text));
        let mut reader =
            arguments.send(&mut self.transport, true).map_err(|error| refused(&error.to_string()))?;
        let answer = Response::from_line_reader(version, &mut reader, true, false);
        let answer = answer.map_err(|error| refused(&format!("{error:?}")))?;
        if !answer.has_pack() {
            return Err(malformed("its answer has no pack"));
        }
        // Without a handler the reader does not separate the bytes of the pack from progress messages.
        reader.set_progress_handler(Some(Box::new(|_is_error, _words| std::ops::ControlFlow::Continue(()))));
        let received = pack::receive(&mut reader, directory, budget, is_over);
        received.map_err(|error| failure.take().unwrap_or(error))
    }
}

fn agent() -> (&'static str, Option<String>) {
    ("agent", Some(AGENT.to_owned()))
}

fn no_git(url: &RepositoryUrl) -> Error {
    let message = format!("host {} does not answer like a git server at this path", url.host());
    Error::new(ErrorKind::Malformed, message)
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("the git server's answer cannot be read: {what}"))
}

/// Servers say in words that they do not give a commit.
fn refusal(text: &str) -> Error {
    if text.contains("not our ref") || text.contains("unadvertised object") {
        let message = "the repository has no such commit, or its server does not give it";
        return Error::new(ErrorKind::RevisionMissing, message);
    }
    malformed("it does not send the commit")
}
