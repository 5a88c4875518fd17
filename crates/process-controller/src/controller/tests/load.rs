//! A busy installation on a clock that runs as fast as the work is done: workers whose lag moves every second, and what that
//! costs the processes beside them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api_types::labels::TENANT;
use api_types::reference::TenantRef;
use api_types::{WorkflowProcess, WorkflowProcessStatus, WorkflowWorker};
use clap::Parser as _;
use controller_kit::Service;
use controller_kit::lease::Fence;
use engine_client::model::{Tenant, TenantQuotas};
use http::{Request, Response};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::client::Body;
use serde_json::json;
use test_support::builders::running_worker;
use tokio::time::Instant;

use crate::args::Args;
use crate::testing::{ORDER_FLOW, World, applied, cluster, tenant};

const TENANTS: usize = 10;

/// Processes and workers in equal shares of [`TENANTS`]; of five workers of a tenant two serve what its processes need.
struct Installation {
    world: World,
    processes: usize,
    workers: usize,
}

#[derive(Debug, PartialEq)]
struct Cost {
    passes_per_object: f64,
    engine_calls_per_object: f64,
}

impl Installation {
    fn new(processes: usize, workers: usize) -> Self {
        let world = World::new();
        for at in 0..TENANTS {
            let name = format!("acme-{at}");
            let mut home = Namespace::default();
            home.metadata.name = Some(name.clone());
            home.metadata.labels = Some([(TENANT.to_owned(), name.clone())].into());
            world.apiserver.seed(&home);
            let mut object = tenant();
            object.metadata.name = Some(name.clone());
            object.metadata.uid = Some(format!("uid-of-{name}"));
            world.apiserver.seed(&object);
            world.engine().set_tenant(Tenant {
                display_name: name.clone(),
                id: name,
                quotas: TenantQuotas::default(),
                rls: true,
                suspended: false,
                owner: None,
                generation: 1,
            });
        }
        for at in 0..processes {
            world.apiserver.seed(&process(at));
        }
        for at in 0..workers {
            world.apiserver.seed(&worker(at, 0));
        }
        Self { world, processes, workers }
    }

    /// Watches are answered after a second, with a new status of each worker, or after their usual time, with nothing.
    fn client(&self) -> Client {
        let (apiserver, workers, version) =
            (self.world.apiserver.client(), self.workers, AtomicU64::new(1_000_000));
        let version = std::sync::Arc::new(version);
        let service = tower::service_fn(move |request: Request<Body>| {
            let (apiserver, version) = (apiserver.clone(), version.clone());
            async move {
                if !request.uri().query().is_some_and(|query| query.contains("watch=true")) {
                    return apiserver.send(request).await;
                }
                let mut events = String::new();
                if request.uri().path().ends_with("/workflowworkers") {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    for at in 0..workers {
                        let object = worker(at, version.fetch_add(1, Ordering::Relaxed));
                        events += &json!({"type": "MODIFIED", "object": object}).to_string();
                        events.push('\n');
                    }
                } else {
                    tokio::time::sleep(Duration::from_secs(290)).await;
                }
                Ok::<_, kube::Error>(Response::new(Body::from(events.into_bytes())))
            }
        });
        Client::new(service, "default")
    }

    /// What an object costs in this time, once all are deployed.
    async fn cost_of(&self, time: Duration) -> Cost {
        let folder = self.world.folder.path().to_str().unwrap();
        let args = Args::parse_from([
            "process-controller",
            "--cluster-namespace",
            "workflow-system",
            "--source-cache-folder",
            folder,
        ]);
        let mut service =
            Service::with_client("process-controller", args.service, self.client(), Fence::open());
        let git = args.sources.settings().unwrap();
        crate::controller::start(&mut service, std::sync::Arc::new(self.world.engines.clone()), git);
        let (metrics, stop) = (service.metrics.clone(), service.stop.clone());
        let task = tokio::spawn(async move { service.attend().await });
        let passes = || -> u64 {
            let text = metrics.encode().unwrap();
            let of = |line: &&str| line.starts_with("operator_reconciliations_total{");
            text.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        let began = Instant::now();
        while passes() < u64::try_from(self.processes).unwrap() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(began.elapsed() < Duration::from_mins(5), "{} passes", passes());
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        self.world.engine().forget_calls();
        let before = passes();
        tokio::time::sleep(time).await;
        let (passes, calls) = (passes() - before, self.world.engine().calls().len());
        stop.cancel();
        task.await.unwrap().unwrap();
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let per_object = |count: u64| count as f64 / self.processes as f64;
        Cost {
            passes_per_object: per_object(passes),
            engine_calls_per_object: per_object(u64::try_from(calls).unwrap()),
        }
    }
}

fn process(at: usize) -> WorkflowProcess {
    let (home, name) = (format!("acme-{}", at % TENANTS), format!("flow-{at}"));
    let bpmn = ORDER_FLOW.replace(r#"id="order-flow""#, &format!(r#"id="{name}""#));
    let mut process = applied(&name, &json!({"bpmn": bpmn}));
    process.metadata.namespace = Some(home.clone());
    process.spec.tenant_ref = Some(TenantRef { name: home, namespace: None });
    // Known from the start: the watch of processes shows nothing new.
    let job_types = vec!["charge-payment".to_owned(), "refund-payment".to_owned()];
    process.status = Some(WorkflowProcessStatus { job_types, ..WorkflowProcessStatus::default() });
    process
}

fn worker(at: usize, version: u64) -> WorkflowWorker {
    const JOB_TYPES: [&str; 5] = ["charge-payment", "refund-payment", "ship", "bill", "notify"];
    let home = format!("acme-{}", at % TENANTS);
    let mut worker = running_worker(&home, &format!("worker-{at}"), &cluster());
    worker.metadata.resource_version = Some(version.to_string());
    worker.spec.cluster_ref.namespace = None;
    worker.spec.tenant_ref = Some(TenantRef { name: home, namespace: None });
    worker.spec.job_types = vec![JOB_TYPES[at / TENANTS % JOB_TYPES.len()].to_owned()];
    worker.status.as_mut().unwrap().current_lag_seconds = i64::try_from(version % 97).ok();
    worker
}

#[tokio::test(start_paused = true)]
async fn what_workers_report_costs_the_processes_nothing() {
    let cost = Installation::new(50, 50).cost_of(Duration::from_mins(2)).await;
    assert_eq!(cost, Cost { passes_per_object: 0.0, engine_calls_per_object: 0.0 });
}

/// `LOAD_SECONDS`: how long to measure, on the fast clock.
#[tokio::test(start_paused = true)]
#[ignore = "takes minutes: `./dev nightly`, and docs/benchmarks.md"]
async fn an_hour_of_a_thousand_processes_and_fifty_workers() {
    let seconds = std::env::var("LOAD_SECONDS").map_or(3_600, |text| text.parse().unwrap());
    let began = std::time::Instant::now();
    let Cost { passes_per_object, engine_calls_per_object } =
        Installation::new(1_000, 50).cost_of(Duration::from_secs(seconds)).await;
    println!(
        "{seconds} s: {passes_per_object} passes and {engine_calls_per_object} engine calls per object, in {:?}",
        began.elapsed()
    );
    assert!(passes_per_object <= 7.0);
}
