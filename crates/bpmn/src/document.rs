//! The typed view of a document that rules and the model builder read: the flow nodes, sequence flows and scopes of the
//! executable processes, with their references resolved. Building it never fails; what does not resolve is absent here
//! and reported by a rule.

mod build;

use std::collections::{HashMap, HashSet};

use crate::names;

pub(crate) type Node<'d> = roxmltree::Node<'d, 'd>;

/// Index into [`Document::elements`].
pub(crate) type ElementId = usize;
/// Index into [`Document::flows`].
pub(crate) type FlowId = usize;
/// Index into [`Document::scopes`].
pub(crate) type ScopeId = usize;

#[derive(Debug)]
pub(crate) struct Document<'d> {
    /// `bpmn:definitions`.
    pub(crate) root: Node<'d>,
    /// Executable processes and their sub-processes, in document order.
    pub(crate) scopes: Vec<Scope<'d>>,
    pub(crate) elements: Vec<FlowElement<'d>>,
    pub(crate) flows: Vec<SequenceFlow<'d>>,
    /// Every BPMN element of the document that has an id, those of other processes included.
    ids: HashMap<&'d str, Node<'d>>,
    elements_by_id: HashMap<&'d str, ElementId>,
    /// Ids that an association of an executable process starts at.
    association_sources: HashSet<&'d str>,
    flows_by_id: HashMap<&'d str, FlowId>,
}

/// A process or a sub-process, which contains flow nodes.
#[derive(Debug)]
pub(crate) struct Scope<'d> {
    pub(crate) node: Node<'d>,
    /// The process that it is or belongs to.
    pub(crate) process: ScopeId,
    /// The sub-process element; `None` for a process.
    pub(crate) element: Option<ElementId>,
    /// Its own flow nodes, not those of sub-processes in it.
    pub(crate) elements: Vec<ElementId>,
}

impl Scope<'_> {
    pub(crate) fn is_process(&self) -> bool {
        self.element.is_none()
    }
}

#[derive(Debug)]
pub(crate) struct FlowElement<'d> {
    pub(crate) node: Node<'d>,
    pub(crate) kind: Kind,
    pub(crate) scope: ScopeId,
    /// The scope that it opens, when it is a sub-process.
    pub(crate) inner: Option<ScopeId>,
    pub(crate) events: Vec<EventDefinition<'d>>,
    /// Flows by `sourceRef` and `targetRef`, which the engine executes.
    pub(crate) incoming: Vec<FlowId>,
    pub(crate) outgoing: Vec<FlowId>,
    /// Flows by the element's `incoming` and `outgoing` children, which are optional.
    pub(crate) declared_incoming: Vec<FlowId>,
    pub(crate) declared_outgoing: Vec<FlowId>,
    /// Events attached to this activity.
    pub(crate) boundary_events: Vec<ElementId>,
    /// The activity that this boundary event is attached to.
    pub(crate) attached_to: Option<ElementId>,
}

impl<'d> FlowElement<'d> {
    pub(crate) fn id(&self) -> Option<&'d str> {
        self.node.attribute("id").filter(|id| !id.is_empty())
    }

    pub(crate) fn has_event(&self, kind: EventKind) -> bool {
        self.events.iter().any(|event| event.kind == kind)
    }

    pub(crate) fn is_for_compensation(&self) -> bool {
        is_true(self.node.attribute("isForCompensation"))
    }

    /// `bpmn:multiInstanceLoopCharacteristics` or `bpmn:standardLoopCharacteristics`.
    pub(crate) fn loop_characteristics(&self) -> Option<Node<'d>> {
        child(self.node, "multiInstanceLoopCharacteristics")
            .or_else(|| child(self.node, "standardLoopCharacteristics"))
    }
}

#[derive(Debug)]
pub(crate) struct SequenceFlow<'d> {
    pub(crate) node: Node<'d>,
    pub(crate) scope: ScopeId,
    pub(crate) source: Option<ElementId>,
    pub(crate) target: Option<ElementId>,
    pub(crate) condition: Option<Node<'d>>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct EventDefinition<'d> {
    pub(crate) node: Node<'d>,
    pub(crate) kind: EventKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    StartEvent,
    EndEvent,
    CatchEvent,
    ThrowEvent,
    BoundaryEvent,
    /// `bpmn:task`, the undefined task.
    Task,
    ServiceTask,
    UserTask,
    ManualTask,
    ScriptTask,
    BusinessRuleTask,
    SendTask,
    ReceiveTask,
    CallActivity,
    SubProcess,
    EventSubProcess,
    AdHocSubProcess,
    Transaction,
    ExclusiveGateway,
    ParallelGateway,
    InclusiveGateway,
    EventBasedGateway,
    ComplexGateway,
    /// Choreography elements and implicit throw events.
    Other,
}

impl Kind {
    fn of(node: Node<'_>) -> Option<Self> {
        Some(match node.tag_name().name() {
            "startEvent" => Self::StartEvent,
            "endEvent" => Self::EndEvent,
            "intermediateCatchEvent" => Self::CatchEvent,
            "intermediateThrowEvent" => Self::ThrowEvent,
            "boundaryEvent" => Self::BoundaryEvent,
            "task" => Self::Task,
            "serviceTask" => Self::ServiceTask,
            "userTask" => Self::UserTask,
            "manualTask" => Self::ManualTask,
            "scriptTask" => Self::ScriptTask,
            "businessRuleTask" => Self::BusinessRuleTask,
            "sendTask" => Self::SendTask,
            "receiveTask" => Self::ReceiveTask,
            "callActivity" => Self::CallActivity,
            "subProcess" if is_true(node.attribute("triggeredByEvent")) => Self::EventSubProcess,
            "subProcess" => Self::SubProcess,
            "adHocSubProcess" => Self::AdHocSubProcess,
            "transaction" => Self::Transaction,
            "exclusiveGateway" => Self::ExclusiveGateway,
            "parallelGateway" => Self::ParallelGateway,
            "inclusiveGateway" => Self::InclusiveGateway,
            "eventBasedGateway" => Self::EventBasedGateway,
            "complexGateway" => Self::ComplexGateway,
            "choreographyTask" | "callChoreography" | "subChoreography" | "implicitThrowEvent" | "event" => {
                Self::Other
            }
            _ => return None,
        })
    }

    pub(crate) const fn is_sub_process(self) -> bool {
        matches!(self, Self::SubProcess | Self::EventSubProcess | Self::AdHocSubProcess | Self::Transaction)
    }

    pub(crate) const fn is_activity(self) -> bool {
        self.is_task() || self.is_sub_process() || matches!(self, Self::CallActivity)
    }

    pub(crate) const fn is_task(self) -> bool {
        matches!(
            self,
            Self::Task
                | Self::ServiceTask
                | Self::UserTask
                | Self::ManualTask
                | Self::ScriptTask
                | Self::BusinessRuleTask
                | Self::SendTask
                | Self::ReceiveTask
        )
    }

    pub(crate) const fn is_gateway(self) -> bool {
        matches!(
            self,
            Self::ExclusiveGateway
                | Self::ParallelGateway
                | Self::InclusiveGateway
                | Self::EventBasedGateway
                | Self::ComplexGateway
        )
    }

    pub(crate) const fn is_throw(self) -> bool {
        matches!(self, Self::ThrowEvent | Self::EndEvent)
    }

    pub(crate) const fn is_catch(self) -> bool {
        matches!(self, Self::StartEvent | Self::CatchEvent | Self::BoundaryEvent)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum EventKind {
    Message,
    Timer,
    Error,
    Escalation,
    Signal,
    Link,
    Compensation,
    Conditional,
    Terminate,
    Cancel,
}

impl EventKind {
    pub(crate) fn of(node: Node<'_>) -> Option<Self> {
        Some(match node.tag_name().name() {
            "messageEventDefinition" => Self::Message,
            "timerEventDefinition" => Self::Timer,
            "errorEventDefinition" => Self::Error,
            "escalationEventDefinition" => Self::Escalation,
            "signalEventDefinition" => Self::Signal,
            "linkEventDefinition" => Self::Link,
            "compensateEventDefinition" => Self::Compensation,
            "conditionalEventDefinition" => Self::Conditional,
            "terminateEventDefinition" => Self::Terminate,
            "cancelEventDefinition" => Self::Cancel,
            _ => return None,
        })
    }

    /// The word for messages.
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Timer => "timer",
            Self::Error => "error",
            Self::Escalation => "escalation",
            Self::Signal => "signal",
            Self::Link => "link",
            Self::Compensation => "compensation",
            Self::Conditional => "conditional",
            Self::Terminate => "terminate",
            Self::Cancel => "cancel",
        }
    }
}

impl<'d> Document<'d> {
    pub(crate) fn process_scopes(&self) -> impl Iterator<Item = &Scope<'d>> {
        self.scopes.iter().filter(|scope| scope.is_process())
    }

    /// Every BPMN element of the executable processes, the processes included.
    pub(crate) fn executable_nodes(&self) -> impl Iterator<Item = Node<'d>> {
        self.process_scopes()
            .flat_map(|scope| scope.node.descendants())
            .filter(|node| node.tag_name().namespace() == Some(names::BPMN))
    }

    /// The BPMN element that an IDREF or QName value names.
    pub(crate) fn resolve(&self, reference: &str) -> Option<Node<'d>> {
        self.ids.get(local_part(reference)).copied()
    }

    /// The BPMN element of that name that an attribute of `node` refers to.
    pub(crate) fn referenced(&self, node: Node<'d>, attribute: &str, name: &str) -> Option<Node<'d>> {
        self.resolve(node.attribute(attribute)?).filter(|target| target.tag_name().name() == name)
    }

    pub(crate) fn element_by_id(&self, id: &str) -> Option<ElementId> {
        self.elements_by_id.get(local_part(id)).copied()
    }

    pub(crate) fn flow_by_id(&self, id: &str) -> Option<FlowId> {
        self.flows_by_id.get(local_part(id)).copied()
    }

    /// Whether an association starts at the element.
    pub(crate) fn has_association(&self, element: &FlowElement<'d>) -> bool {
        element.id().is_some_and(|id| self.association_sources.contains(id))
    }

    /// Event definitions directly under `definitions`, which are shared by reference.
    pub(crate) fn root_event_definitions(&self) -> impl Iterator<Item = EventDefinition<'d>> + use<'d> {
        bpmn_children(self.root)
            .filter_map(|node| EventKind::of(node).map(|kind| EventDefinition { node, kind }))
    }
}

/// The BPMN child elements of `node`.
pub(crate) fn bpmn_children(node: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    node.children().filter(|child| child.tag_name().namespace() == Some(names::BPMN))
}

/// The first BPMN child element of that name.
pub(crate) fn child<'d>(node: Node<'d>, name: &str) -> Option<Node<'d>> {
    bpmn_children(node).find(|child| child.tag_name().name() == name)
}

/// The extension elements of `node` with that local name, in any supported namespace.
pub(crate) fn extensions<'d>(node: Node<'d>, name: &'static str) -> impl Iterator<Item = Node<'d>> {
    child(node, "extensionElements").into_iter().flat_map(move |parent| extension_children(parent, name))
}

/// The children of an extension element with that local name.
pub(crate) fn extension_children<'d>(parent: Node<'d>, name: &'static str) -> impl Iterator<Item = Node<'d>> {
    parent.children().filter(move |child| is_extension(*child) && child.tag_name().name() == name)
}

fn is_extension(node: Node<'_>) -> bool {
    node.tag_name().namespace().is_some_and(|namespace| names::EXTENSIONS.contains(&namespace))
}

/// All text below `node`, trimmed.
pub(crate) fn text(node: Node<'_>) -> String {
    let whole: String =
        node.descendants().filter_map(|part| if part.is_text() { part.text() } else { None }).collect();
    whole.trim().to_owned()
}

/// An XML schema boolean.
pub(crate) fn is_true(value: Option<&str>) -> bool {
    value.is_some_and(|value| matches!(value.trim(), "true" | "1"))
}

/// `id` of `prefix:id`.
fn local_part(name: &str) -> &str {
    let name = name.trim();
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}
