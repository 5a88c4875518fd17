//! The schemas, the rules in code, the generated files and, where there is one, a real apiserver.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "crds/apiserver.rs"]
mod apiserver;
#[path = "crds/cases.rs"]
mod cases;
#[path = "crds/generated.rs"]
mod generated;
#[path = "crds/rules.rs"]
mod rules;
#[path = "crds/schema.rs"]
mod schema;
#[path = "crds/seeds.rs"]
mod seeds;
