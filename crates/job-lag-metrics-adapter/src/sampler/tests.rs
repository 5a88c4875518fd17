use std::sync::Mutex;

use engine_client::model::JobLagUpdate;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;
use kube::runtime::watcher::Event;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{source::SourceError, store::ClusterKey, visibility::Scope, wire::Metric};

/// Opens streams that stay open, fail at once, or end after their snapshot; counts how often each was opened.
#[derive(Default)]
struct Scripted {
    failing: Vec<&'static str>,
    opened: Mutex<BTreeMap<String, usize>>,
}

impl Scripted {
    fn opened(&self, uid: &str) -> usize {
        self.opened.lock().expect("no test panics here").get(uid).copied().unwrap_or_default()
    }
}

impl LagSource for Scripted {
    fn watch(&self, cluster: Arc<WorkflowCluster>) -> BoxStream<'static, Result<JobLagUpdate, SourceError>> {
        let name = cluster.metadata.name.clone().unwrap_or_default();
        let uid = cluster.metadata.uid.clone().unwrap_or_default();
        *self.opened.lock().expect("no test panics here").entry(uid).or_default() += 1;
        if self.failing.contains(&name.as_str()) {
            let cluster = format!("ns/{name}");
            let error = engine_access::engine::AccessError::NoEndpoint { cluster };
            return stream::iter([Err(error.into())]).boxed();
        }
        let measured_at = Timestamp::from_second(1_800_000_000).expect("a timestamp");
        let snapshot = JobLagUpdate {
            snapshot: true,
            complete: true,
            lags: Vec::new(),
            removed: Vec::new(),
            measured_at,
        };
        stream::iter([Ok(snapshot)]).chain(stream::pending()).boxed()
    }
}

fn cluster(name: &str, uid: &str) -> WorkflowCluster {
    serde_json::from_value(json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowCluster",
        "metadata": {"namespace": "ns", "name": name, "uid": uid},
        "spec": {
            "version": "1.2.3",
            "replicas": 1,
            "postgres": {"externalRef": {"host": "db", "databaseSecret": "s"}},
        },
    }))
    .expect("a cluster")
}

struct World {
    clusters: reflector::store::Writer<WorkflowCluster>,
    source: Arc<Scripted>,
    store: Arc<Store>,
    broken: Counter,
    sampling: tokio::task::JoinHandle<()>,
}

impl World {
    fn start(failing: &[&'static str]) -> Self {
        let (clusters, mut writer) = reflector::store();
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        let (_, auth) = watch::channel(None);
        let source = Arc::new(Scripted { failing: failing.to_vec(), ..Scripted::default() });
        let (store, broken) = (Arc::new(Store::default()), Counter::default());
        let sampler = Sampler {
            clusters,
            source: source.clone(),
            store: store.clone(),
            probes: Probes::new(
                Arc::default(),
                auth,
                tokio::sync::watch::channel(None).1,
                CancellationToken::new(),
            ),
            clock: Clock::fixed(Timestamp::from_second(1_800_000_000).expect("a timestamp")),
            broken: broken.clone(),
        };
        Self { clusters: writer, source, store, broken, sampling: tokio::spawn(sampler.sample()) }
    }

    fn put(&mut self, name: &str, uid: &str) {
        self.clusters.apply_watcher_event(&Event::Apply(cluster(name, uid)));
    }

    fn heard_of(&self) -> Vec<ClusterKey> {
        self.store.state(Instant::now()).into_keys().collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.sampling.abort();
    }
}

fn keys(names: &[&str]) -> Vec<ClusterKey> {
    names.iter().map(|name| ClusterKey { namespace: "ns".to_owned(), name: (*name).to_owned() }).collect()
}

#[tokio::test(start_paused = true)]
async fn each_cluster_gets_one_stream() {
    let mut world = World::start(&[]);
    world.put("a", "uid-a");
    world.put("b", "uid-b");
    sleep(Duration::from_secs(30)).await;
    assert_eq!(world.heard_of(), keys(&["a", "b"]));
    assert_eq!((world.source.opened("uid-a"), world.source.opened("uid-b")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn cluster_that_is_gone_is_forgotten() {
    let mut world = World::start(&[]);
    world.put("a", "uid-a");
    sleep(Duration::from_secs(2)).await;
    world.clusters.apply_watcher_event(&Event::Delete(cluster("a", "uid-a")));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.heard_of(), []);
}

#[tokio::test(start_paused = true)]
async fn cluster_made_anew_under_the_same_name_gets_a_new_stream() {
    let mut world = World::start(&[]);
    world.put("a", "uid-first");
    sleep(Duration::from_secs(2)).await;
    world.put("a", "uid-second");
    sleep(Duration::from_secs(2)).await;
    assert_eq!((world.source.opened("uid-first"), world.source.opened("uid-second")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn engine_that_is_away_is_tried_every_few_seconds_and_holds_up_nobody() {
    let mut world = World::start(&["away"]);
    world.put("away", "uid-away");
    world.put("b", "uid-b");
    sleep(Duration::from_mins(1)).await;
    assert_eq!(world.heard_of(), keys(&["b"]));
    let tries = world.source.opened("uid-away");
    assert!((15..=45).contains(&tries), "{tries} tries in a minute");
    assert_eq!(world.broken.get(), tries as u64);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_cluster_is_known_to_be_idle_and_is_asked_again_when_it_starts() {
    let mut world = World::start(&[]);
    world.put("a", "uid-a");
    sleep(Duration::from_secs(2)).await;
    let mut stopped = cluster("a", "uid-a");
    stopped.spec.stopped = Some(true);
    world.clusters.apply_watcher_event(&Event::Apply(stopped.clone()));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.heard_of(), keys(&["a"]), "its pods still end what they do");
    stopped.status.get_or_insert_default().phase = Some(ClusterPhase::Stopped);
    world.clusters.apply_watcher_event(&Event::Apply(stopped));
    sleep(Duration::from_mins(10)).await;
    assert_eq!((world.heard_of(), world.source.opened("uid-a")), (Vec::new(), 1));
    let view = keys(&["a"]).into_iter().map(|key| (key, Scope::All)).collect();
    let selector = "job_type=charge".parse().expect("a selector");
    let lag =
        world.store.read(&view, Metric::JobLagSeconds, &selector, Instant::now(), Duration::from_mins(1));
    assert_eq!(lag.map(|reading| reading.millis), Ok(0));
    world.put("a", "uid-a");
    sleep(Duration::from_secs(2)).await;
    assert_eq!((world.heard_of(), world.source.opened("uid-a")), (keys(&["a"]), 2));
}
