//! Compiles the engine's contract in pure Rust: no `protoc` is needed on any machine.

use std::path::Path;

use prost::Message as _;

const PROTO_ROOT: &str = "../../proto";
const SERVICES: [&str; 7] = ["types", "cluster", "migration", "process", "tenant", "job", "instance"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    let files = SERVICES.map(|name| Path::new(PROTO_ROOT).join(format!("workflow/engine/v1/{name}.proto")));
    let descriptors = protox::compile(files, [PROTO_ROOT])?;
    // What the engine tells by reflection.
    let out = std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    std::fs::write(Path::new(&out).join("workflow.engine.v1.binpb"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_transport(false)
        .client_mod_attribute("workflow.engine.v1", "#[cfg(feature = \"client\")]")
        .server_mod_attribute("workflow.engine.v1", "#[cfg(feature = \"server\")]")
        .compile_fds(descriptors)?;
    Ok(())
}
