//! The connection pools of a serving process. All their connections see the same history of the database.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use tokio_util::sync::CancellationToken;

use super::history::{self, History};
use super::{ACQUIRE_TIMEOUT, Terms, prepare_session};

#[derive(Debug, Clone)]
pub(super) struct Pools {
    /// For transactions.
    pub(super) serving: PgPool,
    /// One connection for LISTEN only.
    pub(super) listening: PgPool,
    pub(super) shared: Arc<Shared>,
}

/// State that all connections of the pools share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// History of the first connection.
    history: OnceLock<History>,
    /// Cancelled when a connection showed another history: the pools must be replaced.
    pub(super) outdated: CancellationToken,
    /// Why the latest connection was rejected.
    refusal: Mutex<Option<String>>,
}

impl Pools {
    /// Opens no connection yet: the first transactions do.
    pub(super) fn build(options: &PgConnectOptions, max_connections: u32, terms: &Arc<Terms>) -> Self {
        let shared = Arc::<Shared>::default();
        let build = |limit| {
            let (terms, shared) = (Arc::clone(terms), Arc::clone(&shared));
            PgPoolOptions::new()
                .max_connections(limit)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                // A ping per transaction would cost a round trip; `begin` retries on a dead connection instead.
                .test_before_acquire(false)
                .after_connect(move |connection, _| {
                    let (terms, shared) = (Arc::clone(&terms), Arc::clone(&shared));
                    Box::pin(async move { shared.accept(connection, &terms).await })
                })
                .connect_lazy_with(options.clone())
        };
        Self { serving: build(max_connections), listening: build(1), shared }
    }

    pub(super) fn set_connect_options(&self, options: &PgConnectOptions) {
        self.serving.set_connect_options(options.clone());
        self.listening.set_connect_options(options.clone());
    }

    /// Waits until all connections in use are returned.
    pub(super) async fn close(self) {
        tokio::join!(self.serving.close(), self.listening.close());
    }
}

impl Shared {
    /// `None` before the first connection.
    pub(super) fn history(&self) -> Option<History> {
        self.history.get().cloned()
    }

    pub(super) fn refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Prepares a new connection. An error if it has another history, or one on which the engine must not work.
    async fn accept(&self, connection: &mut PgConnection, terms: &Terms) -> Result<(), sqlx::Error> {
        prepare_session(connection, &terms.roles).await?;
        let accepted = self.compare(connection, terms).await;
        let refusal = accepted.as_ref().err().map(ToString::to_string);
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
        accepted.map_err(|error| match error {
            history::Error::Read(error) => error,
            refusal => sqlx::Error::Configuration(Box::new(refusal)),
        })
    }

    async fn compare(&self, connection: &mut PgConnection, terms: &Terms) -> Result<(), history::Error> {
        let history = History::observe(connection).await?;
        if self.history.get().is_none() {
            history::verify(connection, terms.claim.as_ref()).await?;
        }
        // Several connections may be opened at once: one of them sets the history, the others compare with it.
        if *self.history.get_or_init(|| history.clone()) != history {
            self.outdated.cancel();
            return Err(history::Error::Another);
        }
        Ok(())
    }
}
