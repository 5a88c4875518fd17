//! Parse and lint BPMN 2.0.
//!
//! This crate owns the answer to two questions about a file: *may it be deployed?* ([`lint`]) and *what does the
//! engine run?* ([`parse`]). The process-controller asks the first before it deploys, the engine asks the second of
//! the same bytes, and because both go through the same checks neither can accept what the other refuses. [`digest`]
//! names the bytes, so that the ones that were validated are provably the ones that were deployed.
//!
//! It never does I/O, never fetches a URI named in a document, never expands a DTD and never panics on input. Work is
//! bounded by the budgets in [`limits`]; it is plain CPU (a few milliseconds for usual files, up to tens for the
//! largest one), so async callers put it on a blocking thread.
//!
//! # Stages
//!
//! 1. `scan`: a streaming pass that enforces the budgets before any tree is built.
//! 2. `schema`: the structure that the BPMN 2.0 XML schema demands (elements, order, attributes, ids).
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
//! * `http://workflow.example.com/schema/1.0`, our own, neutral one.
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

pub use analysis::{lint, parse};
pub use digest::digest;
pub use finding::{Class, Finding, Mode, Report, Severity};
pub use model::{
    Definitions, Element, ElementIndex, ElementKind, Flow, FlowIndex, Process, Retries, ServiceTask,
};
pub use rule::Rule;
