//! This process as a node of its cluster: whether it may serve, its health, and its heartbeat.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use crate::args::ServeArgs;
use crate::claim;
use crate::clock;
use crate::database::{self, Database, Terms};
use crate::engine::Engine;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::release::{self, Defect};
use crate::schema::{self, State, isolation, roles};
use crate::storage::nodes::{self, Node as SeenNode};
use crate::upkeep;

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// Pause after a failed attempt. Shorter than the heartbeat's, so that the node serves soon after the cause is gone.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Time limit of one attempt to open the database or to record the heartbeat.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    Database,
    /// Whether the node may work on the schema: it fits, and it is this cluster's.
    Schema,
    /// The node's own heartbeat, which the other nodes read.
    Leases,
}

/// Result of a health check: `reason` is `None` while the component works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub reason: Option<String>,
    pub since: Timestamp,
}

pub type Health = BTreeMap<Component, Check>;

/// What the last heartbeat read.
#[derive(Debug, Clone, Default)]
pub struct NodeInfo {
    pub schema_version: i64,
    pub nodes: Vec<SeenNode>,
}

#[derive(Debug)]
pub struct Node {
    pub id: String,
    pub started_at: Timestamp,
    pub metrics: Metrics,
    args: ServeArgs,
    /// Cancelled on SIGTERM: the node is not ready.
    drain: CancellationToken,
    /// Cancelled after the drain: the node serves no more calls.
    stop: CancellationToken,
    engine: OnceLock<Arc<Engine>>,
    health: Mutex<Health>,
    info: Mutex<NodeInfo>,
}

/// Why an attempt to open the database or to record the heartbeat failed.
#[derive(Debug)]
struct Obstacle {
    component: Component,
    reason: String,
}

impl Obstacle {
    fn database(error: &sqlx::Error) -> Self {
        Self { component: Component::Database, reason: database::describe(error) }
    }

    fn schema(reason: String) -> Self {
        Self { component: Component::Schema, reason }
    }
}

impl Node {
    pub fn new(
        id: String,
        args: ServeArgs,
        metrics: Metrics,
        drain: CancellationToken,
        stop: CancellationToken,
    ) -> Self {
        let started_at = clock::now();
        let starting = Check { reason: Some("starting".to_owned()), since: started_at };
        let health = [Component::Database, Component::Schema, Component::Leases]
            .into_iter()
            .map(|component| (component, starting.clone()))
            .collect();
        Self {
            id,
            started_at,
            metrics,
            args,
            drain,
            stop,
            engine: OnceLock::new(),
            health: Mutex::new(health),
            info: Mutex::default(),
        }
    }

    /// The engine. An error when this node must not serve on the database.
    pub fn engine(&self) -> Result<Arc<Engine>, Error> {
        if self.stop.is_cancelled() {
            return Err(Error::ShuttingDown);
        }
        let health = self.health();
        let refusal = health.get(&Component::Schema).and_then(|check| check.reason.clone());
        match (self.engine.get(), refusal) {
            (Some(engine), None) => Ok(Arc::clone(engine)),
            _ => Err(Error::NotReady(self.obstacle().unwrap_or_default())),
        }
    }

    /// Why this node is not ready; `None` = it is ready.
    pub fn obstacle(&self) -> Option<String> {
        if self.drain.is_cancelled() {
            return Some("shutting down".to_owned());
        }
        self.health().into_values().find_map(|check| check.reason)
    }

    /// Sleeps; `None` = the node stopped meanwhile.
    pub async fn sleep(&self, time: Duration) -> Option<()> {
        self.stop.run_until_cancelled(tokio::time::sleep(time)).await
    }

    pub fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From memory, so that it works without Postgres.
    pub fn info(&self) -> NodeInfo {
        self.info.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub async fn observe_schema(&self) -> Result<State, Error> {
        if let Some(engine) = self.engine.get() {
            let mut tx = engine.database.cluster().await?;
            let state = schema::observe_state(tx.connection()).await?;
            tx.commit().await?;
            return Ok(state);
        }
        // Without an engine: its schema may be the reason why there is none.
        let mut connection = self.connect().await.map_err(|obstacle| Error::NotReady(obstacle.reason))?;
        Ok(schema::observe_state(&mut connection).await?)
    }

    /// Opens the database, with retries, then records the heartbeat periodically, until the node stops.
    pub async fn run(self: &Arc<Self>) {
        let mut failures = 0_u32;
        loop {
            let attempt = async {
                match self.engine.get() {
                    None => self.open().await,
                    Some(engine) => self.record_heartbeat(engine).await,
                }
            };
            let Some(outcome) =
                self.stop.run_until_cancelled(tokio::time::timeout(ATTEMPT_TIMEOUT, attempt)).await
            else {
                break;
            };
            let obstacle = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(obstacle)) => Some(obstacle),
                Err(_) => Some(Obstacle {
                    component: Component::Database,
                    reason: format!("the database gives no answer within {} s", ATTEMPT_TIMEOUT.as_secs()),
                }),
            };
            let database_failed =
                obstacle.as_ref().is_some_and(|obstacle| obstacle.component == Component::Database);
            failures = if database_failed { failures + 1 } else { 0 };
            // Only after two failures in a row: a single one may be load, when all connections are in use.
            if failures >= 2
                && let Some(engine) = self.engine.get()
            {
                engine.database.renew();
            }
            let rest = if obstacle.is_some() { RETRY_INTERVAL } else { HEARTBEAT_INTERVAL };
            self.record(obstacle.as_ref());
            if self.stop.run_until_cancelled(tokio::time::sleep(rest)).await.is_none() {
                break;
            }
        }
        self.metrics.set_ready(false);
        self.unregister().await;
    }

    /// Removes this node, so that the others do not see it for another 15 s.
    async fn unregister(&self) {
        let Some(engine) = self.engine.get().filter(|engine| engine.permission.require().is_ok()) else {
            return;
        };
        let removal = async {
            let mut tx = engine.database.cluster().await?;
            nodes::delete_node(&mut tx, &self.id).await?;
            tx.commit().await
        };
        if let Ok(Err(error)) = tokio::time::timeout(ATTEMPT_TIMEOUT, removal).await {
            tracing::debug!(error = %error, "the node leaves without saying so");
        }
    }

    /// Checks whether this node may serve, and creates the engine if so.
    async fn open(self: &Arc<Self>) -> Result<(), Obstacle> {
        let mut connection = self.connect().await?;
        let failed = |error| Obstacle::database(&error);
        let recorded = claim::observe_claim(&mut connection).await.map_err(failed)?;
        if let Some(refusal) = claim::refusal(self.args.database.claim.as_ref(), recorded.as_ref()) {
            return Err(Obstacle::schema(refusal));
        }
        let state = schema::observe_state(&mut connection).await.map_err(failed)?;
        if let Some(refusal) = state.refusal() {
            return Err(Obstacle::schema(refusal));
        }
        let roles = roles::observe_roles(&mut connection).await.map_err(failed)?;
        database::prepare_session(&mut connection, &roles).await.map_err(failed)?;
        let violations = isolation::observe_violations(&mut connection).await.map_err(failed)?;
        if let Some(violation) = violations.into_iter().next() {
            return Err(Obstacle::schema(format!("tenants are not isolated: {violation}")));
        }
        let options = self.connect_options()?;
        let terms = Terms { roles, claim: self.args.database.claim.clone() };
        let database = Database::open(&options, self.args.database_max_connections, terms).map_err(failed)?;
        if release::defect() == Some(Defect::NeverReady) {
            return Err(Obstacle::schema(
                "this version was made for a test: it never becomes ready".to_owned(),
            ));
        }
        let engine = Engine::new(database, self.metrics.clone(), self.drain.clone(), self.stop.clone());
        self.record_heartbeat(&engine).await?;
        // The callers of a node that ended come here all at once.
        engine.database.open_sessions(self.args.database_max_connections / 2).await;
        let engine = self.engine.get_or_init(|| Arc::new(engine));
        tracing::info!(node = self.id, schema = state.current(), "serving");
        self.spawn_background_tasks(engine);
        Ok(())
    }

    /// Starts the engine's background tasks; they end with the node.
    fn spawn_background_tasks(self: &Arc<Self>, engine: &Arc<Engine>) {
        let spawn = |work: fn(Arc<Engine>) -> futures::future::BoxFuture<'static, ()>| {
            tokio::spawn(work(Arc::clone(engine)));
        };
        spawn(|engine| Box::pin(async move { engine.wakeups.send(&engine.database, &engine.stop).await }));
        spawn(|engine| Box::pin(async move { engine.wakeups.listen(&engine.database, &engine.stop).await }));
        spawn(|engine| Box::pin(async move { engine.lag.run(&engine.database, &engine.stop).await }));
        tokio::spawn({
            let (node, engine) = (Arc::clone(self), Arc::clone(engine));
            async move {
                let retention = node.args.instance_retention();
                upkeep::run(&node, &engine, retention).await;
            }
        });
        tokio::spawn({
            let (node, engine) = (Arc::clone(self), Arc::clone(engine));
            async move { upkeep::run_deletions(&node, &engine).await }
        });
        tokio::spawn({
            let (engine, args, application) =
                (Arc::clone(engine), self.args.database.clone(), self.application());
            async move { engine.database.follow_credentials(&args, &application, &engine.stop).await }
        });
    }

    async fn record_heartbeat(&self, engine: &Engine) -> Result<(), Obstacle> {
        let heartbeat = async {
            let mut tx = engine.database.cluster().await?;
            let recorded = claim::observe_claim(tx.connection()).await?;
            if let Some(refusal) = claim::refusal(self.args.database.claim.as_ref(), recorded.as_ref()) {
                // The nodes of another cluster must not count on this one.
                return Ok(Err(refusal));
            }
            nodes::record_heartbeat(&mut tx, &self.id, release::version()).await?;
            let nodes = nodes::list_nodes(&mut tx).await?;
            let state = schema::observe_state(tx.connection()).await?;
            tx.commit().await?;
            Ok::<_, sqlx::Error>(Ok((nodes, state)))
        };
        let recorded = heartbeat.await.map_err(|error| match engine.database.refusal() {
            Some(reason) => Obstacle { component: Component::Database, reason },
            None => Obstacle::database(&error),
        })?;
        let (nodes, state) = recorded.map_err(Obstacle::schema)?;
        let (open, in_use) = engine.database.usage();
        self.metrics.set_connections(open, in_use);
        *self.info.lock().unwrap_or_else(PoisonError::into_inner) =
            NodeInfo { schema_version: state.current(), nodes };
        match state.refusal() {
            Some(refusal) => Err(Obstacle::schema(refusal)),
            None => Ok(()),
        }
    }

    fn record(&self, obstacle: Option<&Obstacle>) {
        let now = clock::now();
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let recorded = obstacle.is_none();
        for (component, check) in health.iter_mut() {
            let reason = match (obstacle, component) {
                (Some(obstacle), component) if obstacle.component == *component => {
                    Some(obstacle.reason.clone())
                }
                // The database works when the schema could be read.
                (None, _) | (Some(Obstacle { component: Component::Schema, .. }), Component::Database) => {
                    None
                }
                (Some(_), Component::Leases) => Some("this node's heartbeat is not recorded".to_owned()),
                // Unknown while the database is unavailable: the last known result stays.
                (Some(_), _) => check.reason.clone(),
            };
            if check.reason != reason {
                if let Some(reason) = &reason {
                    tracing::warn!(component = ?component, reason = %reason, "not serving");
                }
                *check = Check { reason, since: now };
            }
        }
        let refusal = health.get(&Component::Schema).and_then(|check| check.reason.clone());
        drop(health);
        if let Some(engine) = self.engine.get() {
            engine.permission.set(refusal);
        }
        self.metrics.set_ready(recorded);
    }

    fn application(&self) -> String {
        format!("workflow-engine {}", self.id)
    }

    fn connect_options(&self) -> Result<sqlx::postgres::PgConnectOptions, Obstacle> {
        database::connect_options(&self.args.database, &self.application())
            .map_err(|error| Obstacle { component: Component::Database, reason: error.to_string() })
    }

    async fn connect(&self) -> Result<PgConnection, Obstacle> {
        let options = self.connect_options()?;
        database::connect(&options).await.map_err(|error| Obstacle {
            component: Component::Database,
            reason: match &error {
                database::Error::Reach(source) => database::describe(source),
                other => other.to_string(),
            },
        })
    }
}
