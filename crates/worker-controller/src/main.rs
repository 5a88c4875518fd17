//! The worker-controller's entry point.

use clap::Parser as _;
use controller_kit::run::Leadership;
use worker_controller::{args::Args, controller};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    controller_kit::run("worker-controller", args.service, Leadership::Leader, async |service| {
        controller::start(service);
        Ok::<_, std::convert::Infallible>(())
    })
    .await?;
    Ok(())
}
