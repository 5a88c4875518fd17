//! The worker-controller's entry point.

use clap::Parser as _;
use controller_kit::run::Leadership;
use worker_controller::{args::Args, controller};

// Not one per processor of the node: a controller waits for others, and each thread has a heap of its own.
#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    controller_kit::run("worker-controller", args.service, Leadership::Leader, async |service| {
        controller::start(service);
        Ok::<_, std::convert::Infallible>(())
    })
    .await?;
    Ok(())
}
