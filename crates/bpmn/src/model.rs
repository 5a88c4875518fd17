//! The model that the engine executes: the executable processes of a document as graphs with all references resolved.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::document::{self, Document, FlowElement, Kind, extension_children, extensions};
use crate::feel;

/// Retries of a job whose definition does not specify them.
const DEFAULT_RETRIES: u32 = 3;
/// Most retries of a job.
const MAX_RETRIES: u32 = 100;

/// The executable processes of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Definitions {
    /// In this release exactly one.
    pub processes: Vec<Process>,
}

/// An executable process.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// The BPMN process id, by which instances are started.
    pub id: String,
    /// The label in the diagram.
    pub name: Option<String>,
    /// Always true: processes that are not executable are left out.
    pub is_executable: bool,
    /// The author's label for this version, from `versionTag`.
    pub version_tag: Option<String>,
    /// Flow nodes in document order.
    pub elements: Vec<Element>,
    /// Sequence flows in document order.
    pub flows: Vec<Flow>,
    /// The none start event.
    pub start: ElementIndex,
}

/// Index of an element in [`Process::elements`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementIndex(pub u32);

/// Index of a flow in [`Process::flows`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowIndex(pub u32);

/// A flow node.
#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    /// Unique in the document.
    pub id: String,
    /// The label in the diagram.
    pub name: Option<String>,
    /// Its kind, with the settings of that kind.
    pub kind: ElementKind,
    /// Flows that end here, in document order.
    pub incoming: Vec<FlowIndex>,
    /// Flows that start here, in document order. If there are none, a token that arrives here ends.
    pub outgoing: Vec<FlowIndex>,
}

/// The kind of an element. Later releases add kinds: match without a wildcard, so that the compiler shows what is
/// missing.
#[derive(Debug, Clone, PartialEq)]
pub enum ElementKind {
    /// Where an instance starts.
    StartEvent,
    /// Where a token ends.
    EndEvent,
    /// Creates a job and waits for its completion.
    ServiceTask(ServiceTask),
    /// Takes the first outgoing flow, in document order, whose condition is true, else the default flow. A single
    /// outgoing flow without a condition is always taken.
    ExclusiveGateway {
        /// Taken when no condition is true.
        default: Option<FlowIndex>,
    },
    /// Waits for a token on every incoming flow, then creates one on every outgoing flow.
    ParallelGateway,
}

/// Settings of a service task's job.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceTask {
    /// The type by which workers activate the job; never empty.
    pub job_type: String,
    /// How often the job may fail.
    pub retries: Retries,
    /// Constant settings that the worker gets with the job.
    pub headers: BTreeMap<String, String>,
}

/// The number of retries of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Retries {
    /// A constant from 1 to 100.
    Fixed(u32),
    /// Evaluated when the job is created.
    Expression(feel::Expr),
}

impl Retries {
    /// The number for an instance's variables; `None` when the expression does not give an integer from 1 to 100, which
    /// raises an incident.
    pub fn resolve(&self, variables: &Value) -> Option<u32> {
        match self {
            Self::Fixed(retries) => Some(*retries),
            Self::Expression(expr) => feel::evaluate(expr, variables)
                .as_u64()
                .and_then(|retries| u32::try_from(retries).ok())
                .filter(|retries| (1..=MAX_RETRIES).contains(retries)),
        }
    }
}

/// A sequence flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// Unique in the document.
    pub id: String,
    /// The label in the diagram.
    pub name: Option<String>,
    /// Where it starts.
    pub source: ElementIndex,
    /// Where it ends.
    pub target: ElementIndex,
    /// The condition under which an exclusive gateway takes the flow.
    pub condition: Option<feel::Expr>,
}

impl Process {
    /// The element at an index of this process.
    ///
    /// # Panics
    ///
    /// When the index is of another process.
    pub fn element(&self, index: ElementIndex) -> &Element {
        &self.elements[index.0 as usize]
    }

    /// The flow at an index of this process.
    ///
    /// # Panics
    ///
    /// When the index is of another process.
    pub fn flow(&self, index: FlowIndex) -> &Flow {
        &self.flows[index.0 as usize]
    }

    /// The element with this id, by a linear search.
    pub fn element_by_id(&self, id: &str) -> Option<ElementIndex> {
        self.elements
            .iter()
            .zip(0..)
            .find(|(element, _)| element.id == id)
            .map(|(_, index)| ElementIndex(index))
    }

    /// The flow with this id, by a linear search.
    pub fn flow_by_id(&self, id: &str) -> Option<FlowIndex> {
        self.flows.iter().zip(0..).find(|(flow, _)| flow.id == id).map(|(_, index)| FlowIndex(index))
    }

    /// The job types of its service tasks.
    pub fn job_types(&self) -> BTreeSet<&str> {
        self.elements
            .iter()
            .filter_map(|element| match &element.kind {
                ElementKind::ServiceTask(task) => Some(task.job_type.as_str()),
                ElementKind::StartEvent
                | ElementKind::EndEvent
                | ElementKind::ExclusiveGateway { .. }
                | ElementKind::ParallelGateway => None,
            })
            .collect()
    }
}

impl Definitions {
    /// Builds the model of a document without findings. Elements that a rule would refuse are left out.
    pub(crate) fn build(document: &Document<'_>) -> Self {
        let processes =
            document.process_scopes().filter_map(|scope| build_process(document, scope)).collect();
        Self { processes }
    }
}

fn build_process(document: &Document<'_>, scope: &document::Scope<'_>) -> Option<Process> {
    let elements: BTreeMap<document::ElementId, ElementIndex> =
        scope.elements.iter().copied().zip((0..).map(ElementIndex)).collect();
    let inside = |id: Option<document::ElementId>| id.and_then(|id| elements.get(&id).copied());
    let ends: Vec<(document::FlowId, ElementIndex, ElementIndex)> = document
        .flows
        .iter()
        .enumerate()
        .filter_map(|(id, flow)| Some((id, inside(flow.source)?, inside(flow.target)?)))
        .collect();
    let flows: BTreeMap<document::FlowId, FlowIndex> =
        ends.iter().map(|(id, ..)| *id).zip((0..).map(FlowIndex)).collect();

    let start = scope.elements.iter().find(|id| {
        let element = &document.elements[**id];
        element.kind == Kind::StartEvent && element.events.is_empty()
    })?;
    Some(Process {
        id: scope.node.attribute("id")?.to_owned(),
        name: label(scope.node),
        is_executable: true,
        version_tag: version_tag(scope.node),
        start: elements.get(start).copied()?,
        elements: scope
            .elements
            .iter()
            .filter_map(|id| build_element(document, &document.elements[*id], &flows))
            .collect(),
        flows: ends
            .iter()
            .filter_map(|(id, source, target)| {
                let flow = &document.flows[*id];
                Some(Flow {
                    id: flow.node.attribute("id")?.to_owned(),
                    name: label(flow.node),
                    source: *source,
                    target: *target,
                    condition: flow
                        .condition
                        .and_then(|node| feel::parse(feel::expression_text(&document::text(node))?).ok()),
                })
            })
            .collect(),
    })
}

fn build_element(
    document: &Document<'_>,
    element: &FlowElement<'_>,
    flows: &BTreeMap<document::FlowId, FlowIndex>,
) -> Option<Element> {
    let indices = |ids: &[document::FlowId]| ids.iter().filter_map(|id| flows.get(id).copied()).collect();
    let kind = match element.kind {
        Kind::StartEvent => ElementKind::StartEvent,
        Kind::EndEvent => ElementKind::EndEvent,
        Kind::ServiceTask => ElementKind::ServiceTask(build_service_task(element)?),
        Kind::ExclusiveGateway => {
            let default = element.node.attribute("default").and_then(|id| document.flow_by_id(id));
            ElementKind::ExclusiveGateway { default: default.and_then(|id| flows.get(&id).copied()) }
        }
        Kind::ParallelGateway => ElementKind::ParallelGateway,
        _ => return None,
    };
    Some(Element {
        id: element.id()?.to_owned(),
        name: label(element.node),
        kind,
        incoming: indices(&element.incoming),
        outgoing: indices(&element.outgoing),
    })
}

fn build_service_task(element: &FlowElement<'_>) -> Option<ServiceTask> {
    let definition = extensions(element.node, "taskDefinition").next()?;
    Some(ServiceTask {
        job_type: static_text(definition.attribute("type")?)?,
        retries: retries(definition.attribute("retries"))?,
        headers: extensions(element.node, "taskHeaders")
            .flat_map(|headers| extension_children(headers, "header"))
            .filter_map(|header| {
                Some((header.attribute("key")?.to_owned(), header.attribute("value")?.to_owned()))
            })
            .collect(),
    })
}

/// A value that does not depend on variables: plain text, or an expression that is a string literal.
pub(crate) fn static_text(value: &str) -> Option<String> {
    match feel::expression_text(value) {
        None => Some(value.to_owned()),
        Some(expression) => match feel::parse(expression) {
            Ok(feel::Expr::String(text)) => Some(text),
            _ => None,
        },
    }
}

/// The retries of a task definition's attribute; `None` when they are invalid or outside the FEEL subset.
pub(crate) fn retries(value: Option<&str>) -> Option<Retries> {
    let Some(value) = value else { return Some(Retries::Fixed(DEFAULT_RETRIES)) };
    match feel::expression_text(value) {
        Some(expression) => feel::parse(expression).ok().map(Retries::Expression),
        None => value
            .trim()
            .parse()
            .ok()
            .filter(|retries| (1..=MAX_RETRIES).contains(retries))
            .map(Retries::Fixed),
    }
}

/// The `versionTag` of a process.
pub(crate) fn version_tag(process: document::Node<'_>) -> Option<String> {
    extensions(process, "versionTag")
        .find_map(|tag| tag.attribute("value"))
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
}

fn label(node: document::Node<'_>) -> Option<String> {
    node.attribute("name").filter(|name| !name.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests;
