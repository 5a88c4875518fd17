use std::collections::{HashMap, HashSet, VecDeque};

use super::{
    Document, ElementId, EventDefinition, EventKind, FlowElement, FlowId, Kind, Node, Scope, ScopeId,
    SequenceFlow, bpmn_children, child, is_true,
};
use crate::names;

impl<'d> Document<'d> {
    /// Reads the document below a `bpmn:definitions` element.
    pub(crate) fn build(root: Node<'d>) -> Self {
        let mut document = Self {
            root,
            scopes: Vec::new(),
            elements: Vec::new(),
            flows: Vec::new(),
            ids: index_ids(root),
            elements_by_id: HashMap::new(),
            association_sources: HashSet::new(),
            flows_by_id: HashMap::new(),
        };
        for process in bpmn_children(root).filter(|node| node.tag_name().name() == "process") {
            if is_true(process.attribute("isExecutable")) {
                document.add_scopes(process);
            }
        }
        document.connect_flows();
        document.connect_declared_flows();
        document.connect_boundary_events();
        document
    }

    /// Adds a process and everything in it, breadth first over its sub-processes.
    fn add_scopes(&mut self, process: Node<'d>) {
        let root = self.scopes.len();
        let mut waiting: VecDeque<(Node<'d>, Option<ElementId>)> = [(process, None)].into();
        while let Some((node, element)) = waiting.pop_front() {
            let scope = self.scopes.len();
            self.scopes.push(Scope { node, process: root, element, elements: Vec::new() });
            if let Some(element) = element {
                self.elements[element].inner = Some(scope);
            }
            for child in bpmn_children(node) {
                if child.tag_name().name() == "sequenceFlow" {
                    self.add_flow(child, scope);
                } else if child.tag_name().name() == "association" {
                    self.association_sources.extend(child.attribute("sourceRef").map(str::trim));
                } else if let Some(kind) = Kind::of(child) {
                    let id = self.add_element(child, kind, scope);
                    if kind.is_sub_process() {
                        waiting.push_back((child, Some(id)));
                    }
                }
            }
        }
    }

    fn add_element(&mut self, node: Node<'d>, kind: Kind, scope: ScopeId) -> ElementId {
        let id = self.elements.len();
        let events = bpmn_children(node)
            .filter_map(|node| EventKind::of(node).map(|kind| EventDefinition { node, kind }))
            .collect();
        self.elements.push(FlowElement {
            node,
            kind,
            scope,
            inner: None,
            events,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            declared_incoming: Vec::new(),
            declared_outgoing: Vec::new(),
            boundary_events: Vec::new(),
            attached_to: None,
        });
        self.scopes[scope].elements.push(id);
        if let Some(name) = node.attribute("id") {
            self.elements_by_id.entry(name.trim()).or_insert(id);
        }
        id
    }

    fn add_flow(&mut self, node: Node<'d>, scope: ScopeId) {
        let id = self.flows.len();
        let condition = child(node, "conditionExpression");
        self.flows.push(SequenceFlow { node, scope, source: None, target: None, condition });
        if let Some(name) = node.attribute("id") {
            self.flows_by_id.entry(name.trim()).or_insert(id);
        }
    }

    fn connect_flows(&mut self) {
        for id in 0..self.flows.len() {
            let node = self.flows[id].node;
            let source = node.attribute("sourceRef").and_then(|name| self.element_by_id(name));
            let target = node.attribute("targetRef").and_then(|name| self.element_by_id(name));
            self.flows[id].source = source;
            self.flows[id].target = target;
            if let Some(source) = source {
                self.elements[source].outgoing.push(id);
            }
            if let Some(target) = target {
                self.elements[target].incoming.push(id);
            }
        }
    }

    fn connect_declared_flows(&mut self) {
        for id in 0..self.elements.len() {
            let node = self.elements[id].node;
            let declared = |name: &str| -> Vec<FlowId> {
                bpmn_children(node)
                    .filter(|child| child.tag_name().name() == name)
                    .filter_map(|child| self.flow_by_id(child.text()?))
                    .collect()
            };
            let (incoming, outgoing) = (declared("incoming"), declared("outgoing"));
            self.elements[id].declared_incoming = incoming;
            self.elements[id].declared_outgoing = outgoing;
        }
    }

    fn connect_boundary_events(&mut self) {
        for id in 0..self.elements.len() {
            if self.elements[id].kind != Kind::BoundaryEvent {
                continue;
            }
            let host =
                self.elements[id].node.attribute("attachedToRef").and_then(|name| self.element_by_id(name));
            if let Some(host) = host.filter(|host| self.elements[*host].kind.is_activity()) {
                self.elements[id].attached_to = Some(host);
                self.elements[host].boundary_events.push(id);
            }
        }
    }
}

fn index_ids(root: Node<'_>) -> HashMap<&str, Node<'_>> {
    let mut ids = HashMap::new();
    for node in root.descendants().filter(|node| node.tag_name().namespace() == Some(names::BPMN)) {
        if let Some(id) = node.attribute("id") {
            ids.entry(id.trim()).or_insert(node);
        }
    }
    ids
}
