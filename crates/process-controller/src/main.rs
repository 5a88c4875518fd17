//! The process-controller's entry point.

use std::sync::Arc;

use clap::Parser as _;
use controller_kit::run::Leadership;
use engine_access::engine::leading_pool;
use process_controller::{args::Args, controller};

// Not one per processor of the node: a controller waits for others, and each thread has a heap of its own.
#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    remote_files::contained::abort_on_other_panics();
    let args = Args::parse();
    let settings = args.sources.settings()?;
    controller_kit::run("process-controller", args.service, Leadership::Leader, async |service| {
        controller::start(service, Arc::new(leading_pool(service)?), settings);
        Ok::<_, engine_client::EngineError>(())
    })
    .await?;
    Ok(())
}
