//! The main job and its faults, on a real node.
//!
//! The story (a fleet that scales out and in on real job lag; then an engine that is upgraded under load) is reported twice from
//! the same code: by the `demo` program, for people, and by the end-to-end tests. The benches make their load with [`traffic`].
//! Nothing here talks to a cluster that was not named: see [`cluster`].

pub mod cluster;
pub mod engine;
pub mod fleet;
pub mod forwarder;
pub mod omnistrate;
pub mod passage;
pub mod postgres;
pub mod progress;
pub mod sample;
pub mod story;
pub mod testbed;
pub mod traffic;
pub mod upgrade_act;
