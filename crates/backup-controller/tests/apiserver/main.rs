//! On a real API server, with the real Job controller. The tests are the kubelet.
#![cfg(test)]

mod program;
mod world;
