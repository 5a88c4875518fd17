//! Wakes the callers that wait for jobs when new ones are committed: at once in this process, and in the others through
//! Postgres' NOTIFY. A NOTIFY takes a global lock at its commit, so it is not sent in the transactions of jobs: topics
//! are collected and sent at most ten times a second. A lost wake-up delays a waiter by a second, since every waiter
//! also polls.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::select_all;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::database::{Database, in_time};
use crate::tenant_id::TenantId;

const CHANNEL: &str = "workflow_jobs";
const NOTIFY_INTERVAL: Duration = Duration::from_millis(100);
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(5);
const LISTEN_RETRY: Duration = Duration::from_secs(2);

/// A tenant and a job type.
type Topic = (TenantId, String);

#[derive(Debug)]
pub struct Wakeups {
    /// Sent with each NOTIFY, so that a process ignores its own.
    origin: String,
    waiting: Mutex<HashMap<Topic, watch::Sender<u64>>>,
    unsent: Mutex<BTreeSet<Topic>>,
    has_unsent: Notify,
}

impl Default for Wakeups {
    fn default() -> Self {
        Self {
            origin: Uuid::new_v4().simple().to_string(),
            waiting: Mutex::default(),
            unsent: Mutex::default(),
            has_unsent: Notify::default(),
        }
    }
}

/// Notifications about new jobs of some types of one tenant.
#[derive(Debug)]
pub struct Subscription {
    topics: Vec<watch::Receiver<u64>>,
}

impl Subscription {
    /// Returns at the next wake-up, or at once if there was one since the last call.
    pub async fn notified(&mut self) {
        let changes = self.topics.iter_mut().map(|topic| Box::pin(topic.changed()));
        // A sender is kept while it has receivers. Should it be dropped, the waiter still polls.
        if select_all(changes).await.0.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Wakeups {
    pub fn subscribe(&self, tenant: &TenantId, job_types: &[String]) -> Subscription {
        let mut waiting = locked(&self.waiting);
        // Here and not when a subscription is dropped: subscribing is rare, announcing is not.
        waiting.retain(|_, sender| sender.receiver_count() > 0);
        let topics = job_types
            .iter()
            .map(|job_type| waiting.entry((tenant.clone(), job_type.clone())).or_default().subscribe())
            .collect();
        Subscription { topics }
    }

    /// Wakes the waiters of these types. Call it after the commit of new jobs.
    pub fn announce<'types>(&self, tenant: &TenantId, job_types: impl IntoIterator<Item = &'types str>) {
        let topics: BTreeSet<Topic> =
            job_types.into_iter().map(|job_type| (tenant.clone(), job_type.to_owned())).collect();
        if topics.is_empty() {
            return;
        }
        for topic in &topics {
            self.wake(topic);
        }
        locked(&self.unsent).extend(topics);
        self.has_unsent.notify_one();
    }

    fn wake(&self, topic: &Topic) {
        if let Some(sender) = locked(&self.waiting).get(topic) {
            sender.send_modify(|count| *count += 1);
        }
    }

    /// Notifies the other processes, until `stop`.
    pub async fn send(&self, database: &Database, stop: &CancellationToken) {
        while stop.run_until_cancelled(self.has_unsent.notified()).await.is_some() {
            let topics = std::mem::take(&mut *locked(&self.unsent));
            let payloads: Vec<String> = topics
                .iter()
                .map(|(tenant, job_type)| format!("{} {tenant} {job_type}", self.origin))
                .collect();
            let reported =
                in_time(NOTIFY_TIMEOUT, async { Ok(database.notify(CHANNEL, &payloads).await?) }).await;
            if let Err(error) = reported {
                tracing::debug!(error = %error, "wake-ups were not sent; the others look by themselves");
            }
            if stop.run_until_cancelled(tokio::time::sleep(NOTIFY_INTERVAL)).await.is_none() {
                return;
            }
        }
    }

    /// Receives the notifications of other processes, until `stop`.
    pub async fn listen(&self, database: &Database, stop: &CancellationToken) {
        loop {
            let listening = stop.run_until_cancelled(self.listen_once(database)).await;
            let Some(ended) = listening else { return };
            if let Err(error) = ended {
                tracing::debug!(error = %error, "not hearing wake-ups; waiters look by themselves");
            }
            if stop.run_until_cancelled(tokio::time::sleep(LISTEN_RETRY)).await.is_none() {
                return;
            }
        }
    }

    async fn listen_once(&self, database: &Database) -> Result<(), sqlx::Error> {
        let mut listener = database.listener().await?;
        listener.listen(CHANNEL).await?;
        loop {
            if let Some(topic) = self.foreign_topic(listener.recv().await?.payload()) {
                self.wake(&topic);
            }
        }
    }

    fn foreign_topic(&self, payload: &str) -> Option<Topic> {
        let mut parts = payload.splitn(3, ' ');
        let origin = parts.next()?;
        let tenant = TenantId::parse(parts.next()?).ok()?;
        let job_type = parts.next()?;
        (origin != self.origin).then(|| (tenant, job_type.to_owned()))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
