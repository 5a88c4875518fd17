//! The tenant-controller's entry point.

use std::sync::Arc;

use clap::Parser as _;
use controller_kit::run::Leadership;
use engine_client::{EnginePool, Timeouts};
use tenant_controller::{args::Args, controller};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    controller_kit::run("tenant-controller", args.service, Leadership::Leader, async |service| {
        controller::start(service, Arc::new(EnginePool::new(Timeouts::default())));
        Ok::<_, std::convert::Infallible>(())
    })
    .await?;
    Ok(())
}
