//! The connections of a serving process, all on one history of the database.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use tokio_util::sync::CancellationToken;

use super::history::{self, History};
use super::{ACQUIRE_TIMEOUT, prepare_session};
use crate::schema::roles::Roles;

#[derive(Debug, Clone)]
pub(super) struct Pools {
    /// For transactions.
    pub(super) serving: PgPool,
    /// One connection that is never used for anything else.
    pub(super) listening: PgPool,
    pub(super) shared: Arc<Shared>,
}

/// What the connections of the pools have in common.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// That of the first connection.
    history: OnceLock<History>,
    /// A connection showed another history: the pools are of no use any more.
    pub(super) outdated: CancellationToken,
    /// Why the latest connection was not taken.
    refusal: Mutex<Option<String>>,
}

impl Pools {
    /// Opens nothing yet: connections come with the first transactions.
    pub(super) fn build(options: &PgConnectOptions, max_connections: u32, roles: &Arc<Roles>) -> Self {
        let shared = Arc::<Shared>::default();
        let build = |limit| {
            let (roles, shared) = (Arc::clone(roles), Arc::clone(&shared));
            PgPoolOptions::new()
                .max_connections(limit)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                // A ping for every transaction would cost a round trip; `begin` retries on a dead connection instead.
                .test_before_acquire(false)
                .after_connect(move |connection, _| {
                    let (roles, shared) = (Arc::clone(&roles), Arc::clone(&shared));
                    Box::pin(async move { shared.accept(connection, &roles).await })
                })
                .connect_lazy_with(options.clone())
        };
        Self { serving: build(max_connections), listening: build(1), shared }
    }

    pub(super) fn set_connect_options(&self, options: &PgConnectOptions) {
        self.serving.set_connect_options(options.clone());
        self.listening.set_connect_options(options.clone());
    }

    /// Waits for whoever still holds a connection.
    pub(super) async fn close(self) {
        tokio::join!(self.serving.close(), self.listening.close());
    }
}

impl Shared {
    /// Known from the first connection on.
    pub(super) fn history(&self) -> Option<History> {
        self.history.get().cloned()
    }

    pub(super) fn refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Prepares a new connection, unless it leads to another history or one on which the engine must not work.
    async fn accept(&self, connection: &mut PgConnection, roles: &Roles) -> Result<(), sqlx::Error> {
        prepare_session(connection, roles).await?;
        let accepted = self.compare(connection).await;
        let refusal = accepted.as_ref().err().map(ToString::to_string);
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
        accepted.map_err(|error| match error {
            history::Error::Read(error) => error,
            refusal => sqlx::Error::Configuration(Box::new(refusal)),
        })
    }

    async fn compare(&self, connection: &mut PgConnection) -> Result<(), history::Error> {
        let history = History::observe(connection).await?;
        if self.history.get().is_none() {
            history::verify(connection).await?;
        }
        // Of several first connections one comes first.
        if *self.history.get_or_init(|| history.clone()) != history {
            self.outdated.cancel();
            return Err(history::Error::Another);
        }
        Ok(())
    }
}
