//! One transaction on one connection of the pool. A connection goes back only when Postgres has answered that no
//! transaction is open on it. Neither sqlx's own `Transaction` nor its pool sees to that: a beginning that fails or is
//! given up half-way counts as none there, and the pool asks a returned connection for a sign of life, not for its state.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Executor, Postgres};

/// Longer than a statement may run, since a rollback waits for the one that was given up. After it the connection is
/// closed, which ends its transaction as well.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(6);
/// The first attempts may meet the error of a statement whose answer nobody waited for.
const ROLLBACK_ATTEMPTS: usize = 3;

/// An open transaction; dropped without a commit, it is rolled back in a task of its own.
#[derive(Debug)]
pub(super) struct Transaction {
    connection: PooledConnection,
}

/// A connection that may be inside a transaction: dropped, it is closed instead of going back to the pool.
#[derive(Debug)]
struct PooledConnection(Option<PoolConnection<Postgres>>);

impl Drop for PooledConnection {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            // Not `close_on_drop`: that needs a runtime and an answer.
            drop(connection.detach());
        }
    }
}

impl PooledConnection {
    fn connection(&mut self) -> &mut PgConnection {
        // Taken only by who consumes it.
        #[expect(clippy::expect_used, reason = "the connection is there until this is dropped")]
        self.0.as_deref_mut().expect("the connection is held")
    }

    /// Postgres has answered that no transaction is open.
    fn give_back(mut self) {
        drop(self.0.take());
    }

    async fn roll_back(mut self) {
        for _ in 0..ROLLBACK_ATTEMPTS {
            match self.connection().execute("ROLLBACK").await {
                Ok(_) => return self.give_back(),
                Err(sqlx::Error::Database(_)) => {}
                Err(_) => return,
            }
        }
    }
}

impl Transaction {
    /// `statements` begin with BEGIN, and are sent at once.
    pub(super) async fn begin(pool: &PgPool, statements: &str) -> Result<Self, sqlx::Error> {
        // From here on the connection counts as one with an open transaction.
        let mut transaction = Self { connection: PooledConnection(Some(pool.acquire().await?)) };
        match transaction.connection().execute(AssertSqlSafe(statements.to_owned())).await {
            Ok(_) => Ok(transaction),
            Err(error) => {
                // With a pool of dead connections whoever tries again needs this one's place now.
                if !matches!(error, sqlx::Error::Database(_)) {
                    drop(std::mem::replace(&mut transaction.connection, PooledConnection(None)));
                }
                Err(error)
            }
        }
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        self.connection.connection()
    }

    /// An error also when a statement failed before, which Postgres answers with a silent rollback.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        // The empty SELECT is refused inside a failed transaction, and then the COMMIT is not looked at.
        self.connection().execute("SELECT; COMMIT").await?;
        std::mem::replace(&mut self.connection, PooledConnection(None)).give_back();
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let connection = std::mem::replace(&mut self.connection, PooledConnection(None));
        if connection.0.is_none() {
            return;
        }
        // Without a runtime it is closed.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // Given up in the middle, it is closed.
                let _ = tokio::time::timeout(ROLLBACK_TIMEOUT, connection.roll_back()).await;
            });
        }
    }
}
