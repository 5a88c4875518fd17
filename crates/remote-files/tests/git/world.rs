//! A server, a store, and a reader that may call this machine.

use std::time::Duration;

use remote_files::git::{
    Access, Authorization, Budget, File, Outcome, Repository, RepositoryUrl, Revision, Store, Want,
};
use remote_files::network::{AddressPolicy, TrustedCertificates};
use remote_files::{Error, ErrorKind};
use test_support::git_server::GitServer;

pub(crate) struct World {
    pub(crate) server: GitServer,
    pub(crate) store: Store,
    pub(crate) access: Access,
    pub(crate) budget: Budget,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(GitServer::start().await)
    }

    pub(crate) fn with(server: GitServer) -> Self {
        // What every program of ours does when it starts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), 64 << 20).expect("a store");
        let policy = AddressPolicy {
            allowed: vec!["127.0.0.0/8".parse().expect("a range"), "::1/128".parse().expect("a range")],
            denied: Vec::new(),
        };
        let trust = TrustedCertificates::only(server.authority().as_bytes()).expect("an authority");
        let access = Access { authorization: None, trust, policy };
        let budget = Budget { time: Duration::from_secs(20), ..Budget::default() };
        Self { server, store, access, budget, _folder: folder }
    }

    pub(crate) fn repository(&self, name: &str) -> Repository {
        let url = RepositoryUrl::parse(&self.server.url(name)).expect("a URL");
        Repository::new(url, name.to_owned(), self.store.clone())
    }

    pub(crate) async fn read_all(&self, name: &str, wants: Vec<Want>) -> Vec<Outcome> {
        self.repository(name).read(&self.access, &self.budget, wants).await
    }

    pub(crate) async fn read(
        &self,
        name: &str,
        revision: &str,
        path: &str,
    ) -> Result<(String, String), Error> {
        let outcome = self.read_all(name, vec![want(revision, path)]).await.remove(0);
        outcome.file.map(|File { commit, bytes }| (commit, String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The same world with a second for a visit.
    pub(crate) fn with_a_short_budget(mut self) -> Self {
        self.budget.time = Duration::from_secs(1);
        self
    }

    /// The same world with credentials.
    pub(crate) fn authorized(mut self, authorization: &str) -> Self {
        self.access.authorization = Some(Authorization::new(authorization).expect("a header"));
        self
    }

    /// `order.bpmn` of the branch `main`, within a budget of the caller's.
    pub(crate) async fn read_all_within(&self, name: &str, budget: &Budget) -> Outcome {
        let repository = self.repository(name);
        repository.forget();
        repository.read(&self.access, budget, vec![want("main", "order.bpmn")]).await.remove(0)
    }

    /// The kind of the failure at another host.
    pub(crate) async fn refusal_at(&self, url: &str) -> ErrorKind {
        let url = RepositoryUrl::parse(url).expect("a URL");
        let repository = Repository::new(url, "elsewhere".to_owned(), self.store.clone());
        let outcome =
            repository.read(&self.access, &self.budget, vec![want("main", "order.bpmn")]).await.remove(0);
        outcome.file.expect_err("refused").kind
    }

    /// The kind of a failure.
    pub(crate) async fn refusal(&self, name: &str, revision: &str, path: &str) -> ErrorKind {
        self.read(name, revision, path).await.expect_err("refused").kind
    }
}

pub(crate) fn want(revision: &str, path: &str) -> Want {
    let revision = Revision::parse(revision).expect("a revision");
    Want { revision, path: path.to_owned(), known: None }
}
