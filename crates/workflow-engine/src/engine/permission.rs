//! Whether this node may work on its database, for what is under way for long: streams, long polls and background work. New
//! calls ask the node itself.

use tokio::sync::watch;

use crate::error::Error;

/// Taken away while the schema does not fit, or the database is another's; given back by itself.
#[derive(Debug)]
pub struct Permission(watch::Sender<Option<String>>);

impl Default for Permission {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Permission {
    /// Sets why it must not; `None` = it may.
    pub fn set(&self, refusal: Option<String>) {
        self.0.send_if_modified(|current| {
            let is_new = *current != refusal;
            *current = refusal;
            is_new
        });
    }

    /// An error while it must not.
    pub fn require(&self) -> Result<(), Error> {
        match &*self.0.borrow() {
            Some(refusal) => Err(Error::NotReady(refusal.clone())),
            None => Ok(()),
        }
    }

    /// Ends when it is taken away.
    pub async fn withdrawn(&self) -> Error {
        let mut current = self.0.subscribe();
        match current.wait_for(Option::is_some).await {
            Ok(refusal) => Error::NotReady(refusal.clone().unwrap_or_default()),
            // Cannot happen: the sender lives as long as `self`.
            Err(_) => Error::ShuttingDown,
        }
    }
}
