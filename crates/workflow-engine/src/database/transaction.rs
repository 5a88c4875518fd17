//! One transaction on one connection of the pool. A connection returns to the pool only after Postgres has answered
//! that no transaction is open on it. sqlx does not ensure this: its `Transaction` ignores a BEGIN that failed or was
//! dropped before its answer, and its pool pings a returned connection without checking for an open transaction.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Executor, Postgres};

/// Longer than the statement timeout, since the rollback waits for a statement that was dropped. After it the
/// connection is closed, which also ends its transaction.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(6);
/// The first attempts may receive the error of a statement that was dropped before its answer.
const ROLLBACK_ATTEMPTS: usize = 3;

/// An open transaction. Dropped without a commit, it is rolled back in its own task.
#[derive(Debug)]
pub(super) struct Transaction {
    connection: PooledConnection,
}

/// A connection that may have an open transaction. Dropped, it is closed and does not return to the pool.
#[derive(Debug)]
struct PooledConnection(Option<PoolConnection<Postgres>>);

impl Drop for PooledConnection {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            // Not `close_on_drop`, which needs a runtime and an answer of Postgres.
            drop(connection.detach());
        }
    }
}

impl PooledConnection {
    fn connection(&mut self) -> &mut PgConnection {
        // Only methods that consume `self` take it.
        #[expect(clippy::expect_used, reason = "the connection is there until this is dropped")]
        self.0.as_deref_mut().expect("the connection is held")
    }

    /// Returns it to the pool. Only after Postgres has answered that no transaction is open.
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
    /// `statements` start with BEGIN and are sent in one message.
    pub(super) async fn begin(pool: &PgPool, statements: &str) -> Result<Self, sqlx::Error> {
        // From here on the connection is treated as one with an open transaction.
        let mut transaction = Self { connection: PooledConnection(Some(pool.acquire().await?)) };
        match transaction.connection().execute(AssertSqlSafe(statements.to_owned())).await {
            Ok(_) => Ok(transaction),
            Err(error) => {
                // A retry needs the place of this dead connection in the pool at once.
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

    /// Also an error when an earlier statement failed: Postgres itself would roll back without an error.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        // Postgres refuses the empty SELECT in a failed transaction, and then does not run the COMMIT.
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
        // Without a runtime the connection is closed.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // After the timeout the connection is closed.
                let _ = tokio::time::timeout(ROLLBACK_TIMEOUT, connection.roll_back()).await;
            });
        }
    }
}
