//! The cluster-controller's entry point.

use clap::Parser as _;
use cluster_controller::{args::Args, controller};
use controller_kit::run::Leadership;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Args { service, settings } = Args::parse();
    controller_kit::run("cluster-controller", service, Leadership::Leader, async |service| {
        controller::start(service, settings);
        Ok::<_, std::convert::Infallible>(())
    })
    .await?;
    Ok(())
}
