//! The backup-controller's entry point.

use backup_controller::{args::Args, controller};
use clap::Parser as _;
use controller_kit::run::Leadership;

// Not one per processor of the node: a controller waits for others, and each thread has a heap of its own.
#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let Args { service, settings } = Args::parse();
    controller_kit::run("backup-controller", service, Leadership::Leader, async |service| {
        controller::start(service, settings);
        Ok::<_, std::convert::Infallible>(())
    })
    .await?;
    Ok(())
}
