//! The service plan for Omnistrate (`deploy/omnistrate/service-plan.yaml`), run without Omnistrate: the same manifests are
//! written, and the same conditions are awaited.
//!
//! [`plan`] reads the file and refuses what the platform could not run; [`render`] puts values into it; [`condition`] judges a
//! live object; [`runner`] walks a workflow's tasks.

pub mod condition;
pub mod plan;
pub mod render;
pub mod runner;

mod check;

pub use plan::{ServicePlan, Verb};
pub use render::Values;
pub use runner::{Outputs, Runner};
