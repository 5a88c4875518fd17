//! Parses and lints BPMN 2.0.
//! [`lint`] decides whether a file may be deployed, and [`parse`] builds the model that the engine executes. The
//! process-controller calls the first before a deployment, the engine the second on the same bytes. Both apply the same
//! checks, so neither accepts a file that the other refuses. [`digest`] identifies the bytes, to prove that the
//! validated ones are the deployed ones. [`compare`] tells what a new document changes for the engine.
//!
//! The crate does no I/O, fetches no URIs of a document, expands no DTD and does not panic on any input. The budgets in
//! [`limits`] bound its work. It takes a few milliseconds of CPU time for usual files and tens for the largest ones, so
//! async callers should use a blocking thread.
//!
//! # Stages
//!
//! 1. `scan`: a streaming pass that enforces the budgets before any tree is built.
//! 2. `schema`: the structure that the BPMN 2.0 XML schema requires (elements, order, attributes, ids).
//! 3. `rules`: the rules that engines of this kind apply to executable processes.
//! 4. `capability`: what this engine, in this release, does not execute yet.
//! 5. `style` (only [`Mode::Strict`]): well-formed but error-prone modelling.
//!
//! Every rule, its id and its class are listed in `docs/spec/bpmn-rules.md`, which a test keeps equal to [`Rule`].
//!
//! # Extension elements
//!
//! Job types and the like are read from `bpmn:extensionElements`, in either of two namespaces with the same local
//! names:
//!
//! * `http://camunda.org/schema/zeebe/1.0`, written by the common modelling tools;
//! * `http://workflow.example.com/schema/1.0`, the neutral one of this project.
//!
//! ```xml
//! <bpmn:serviceTask id="Task_charge">
//!   <bpmn:extensionElements>
//!     <wf:taskDefinition xmlns:wf="http://workflow.example.com/schema/1.0" type="charge-payment" retries="3"/>
//!     <wf:taskHeaders xmlns:wf="http://workflow.example.com/schema/1.0"><wf:header key="region" value="eu"/></wf:taskHeaders>
//!   </bpmn:extensionElements>
//! </bpmn:serviceTask>
//! ```
//!
//! A process carries its version tag as `versionTag` with the attribute `value`.

#![deny(missing_docs)]

mod analysis;
mod capability;
mod changes;
mod digest;
mod document;
pub mod feel;
mod finding;
pub mod job_type;
pub mod limits;
mod model;
mod names;
mod rule;
mod rules;
mod scan;
mod schema;
mod sink;
mod style;
mod temporal;

pub use analysis::{lint, lint_beside, parse};
pub use changes::{Changes, compare};
pub use digest::digest;
pub use finding::{Class, Finding, Mode, Report, Severity};
pub use model::{
    Definitions, Element, ElementIndex, ElementKind, Flow, FlowIndex, Process, Retries, ServiceTask,
};
pub use rule::Rule;
