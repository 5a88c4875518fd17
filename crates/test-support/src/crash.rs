//! The crash test: a controller is killed before and after each of its writes and then started again. Its end state
//! must be that of an undisturbed run.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use k8s_openapi::api::core::v1::ConfigMap;
//! use kube::{Api, Client, api::{Patch, PatchParams}};
//! use test_support::FakeApiServer;
//! use test_support::crash::{run_until_settled, survives_crash_at_every_write};
//!
//! async fn reconcile(client: &Client) -> Result<(), kube::Error> {
//!     let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), "acme");
//!     for name in ["a", "b"] {
//!         if config_maps.get_opt(name).await?.is_none() {
//!             let desired = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
//!             config_maps.patch(name, &PatchParams::apply("test"), &Patch::Apply(&desired)).await?;
//!         }
//!     }
//!     Ok(())
//! }
//!
//! let report = survives_crash_at_every_write(
//!     async || FakeApiServer::new(),
//!     async |apiserver, faults| {
//!         let client = faults.wrap(apiserver.client());
//!         run_until_settled(faults, 10, async || reconcile(&client).await).await
//!     },
//!     async |apiserver| apiserver.snapshot(),
//! )
//! .await;
//! assert_eq!(report.writes.len(), 2);
//! # });
//! ```

use std::fmt;

use crate::faulty::{Faults, Stop};
use crate::snapshot::{Snapshot, difference};

#[cfg(test)]
mod tests;

/// What the crash test did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashReport {
    /// The writes of the undisturbed run, in order: assert on them, so that the test cannot pass by doing nothing.
    pub writes: Vec<String>,
    /// How many times the run was killed and started again: twice per write.
    pub crashes: usize,
}

/// Runs undisturbed in a fresh world. Then, for each write of that run, stops a run in another fresh world before it,
/// and one after it, runs again to the end, and compares the end states.
///
/// - `fresh` makes the same world each time: apiserver seeded, engine empty, children's status as the test needs it.
/// - `run` is one process of the controller: it builds its context from the world, with each client behind the
///   faults, and reconciles until it settles (see [`run_until_settled`]) or fails.
/// - `end_state` returns everything that must be equal, comparable between runs: a fake apiserver's
///   [`snapshot`](crate::FakeApiServer::snapshot), and whatever the engine holds as further keys.
///
/// # Panics
/// When the undisturbed run writes nothing or fails, when a settled world is written to again, or when a run after a
/// crash fails or has another end state. The message names the write.
pub async fn survives_crash_at_every_write<W, E: fmt::Debug>(
    fresh: impl AsyncFn() -> W,
    run: impl AsyncFn(&W, &Faults) -> Result<(), E>,
    end_state: impl AsyncFn(&W) -> Snapshot,
) -> CrashReport {
    let world = fresh().await;
    let writes = run_to_the_end(&world, &run, "the undisturbed run").await;
    assert!(!writes.is_empty(), "the undisturbed run wrote nothing: there is no crash to test");
    let expected = end_state(&world).await;
    let again = run_to_the_end(&world, &run, "the run on the settled world").await;
    assert!(again.is_empty(), "a settled world was written to again:\n{}", again.join("\n"));

    let stops = (1..=writes.len()).flat_map(|n| [Stop::Before(n), Stop::After(n)]);
    let mut crashes = 0;
    for stop in stops {
        let (Stop::Before(n) | Stop::After(n)) = stop;
        let at = format!("the run after a stop at {stop:?} of {}, {}", writes.len(), writes[n - 1]);
        let world = fresh().await;
        let faults = Faults::stop(stop);
        // The result of the stopped run does not matter: its process counts as killed.
        let _ = run(&world, &faults).await;
        assert!(faults.stopped(), "{at}: that write was never reached; are the runs alike?");
        crashes += 1;

        run_to_the_end(&world, &run, &at).await;
        let lines = difference(&expected, &end_state(&world).await);
        assert!(lines.is_empty(), "{at} ends elsewhere:\n{}", lines.join("\n"));
    }
    CrashReport { writes, crashes }
}

async fn run_to_the_end<W, E: fmt::Debug>(
    world: &W,
    run: &impl AsyncFn(&W, &Faults) -> Result<(), E>,
    what: &str,
) -> Vec<String> {
    let faults = Faults::none();
    if let Err(error) = run(world, &faults).await {
        panic!("{what} failed: {error:?}, after the writes\n{}", faults.writes().join("\n"));
    }
    faults.writes()
}

/// Repeats `pass` (one reconcile, or one of each controller) until one makes no write. A pass that fails ends it with
/// its error, as if the process were killed. For a controller that retries by itself, `pass` must handle the error.
///
/// # Panics
/// When `most` passes were not enough.
pub async fn run_until_settled<E>(
    faults: &Faults,
    most: usize,
    pass: impl AsyncFn() -> Result<(), E>,
) -> Result<(), E> {
    for _ in 0..most {
        let before = faults.writes().len();
        pass().await?;
        if faults.writes().len() == before {
            return Ok(());
        }
    }
    panic!("not settled after {most} passes, with the writes\n{}", faults.writes().join("\n"))
}
