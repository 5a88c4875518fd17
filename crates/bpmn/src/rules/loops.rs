//! Loops without a waiting element, which the engine would execute endlessly.

use crate::document::{Document, ElementId, Kind};
use crate::rule::Rule;
use crate::sink::Sink;

pub(super) fn check<'d>(document: &Document<'d>, sink: &mut Sink<'d>) {
    let passes = |id: ElementId| {
        matches!(
            document.elements[id].kind,
            Kind::Task
                | Kind::ManualTask
                | Kind::ExclusiveGateway
                | Kind::InclusiveGateway
                | Kind::ParallelGateway
        )
    };
    let successors = |id: ElementId| {
        let flows = document.elements[id].outgoing.iter();
        flows.filter_map(|flow| document.flows[*flow].target).filter(|target| passes(*target))
    };
    let nodes = (0..document.elements.len()).filter(|id| passes(*id));
    for component in cycles(document.elements.len(), nodes, successors) {
        // A loop of gateways only may end by its conditions.
        let task = component
            .into_iter()
            .map(|id| &document.elements[id])
            .find(|element| matches!(element.kind, Kind::Task | Kind::ManualTask));
        if let Some(task) = task {
            sink.report(Rule::StraightThroughLoop, task.node, "loop in which nothing waits");
        }
    }
}

/// The strongly connected components with a cycle, each sorted (Tarjan's algorithm with an explicit stack).
fn cycles<S: Iterator<Item = usize>>(
    size: usize,
    nodes: impl Iterator<Item = usize>,
    successors: impl Fn(usize) -> S,
) -> Vec<Vec<usize>> {
    const UNSEEN: usize = usize::MAX;
    let mut order = vec![UNSEEN; size];
    let mut low = vec![UNSEEN; size];
    let mut on_stack = vec![false; size];
    let mut stack = Vec::new();
    let mut next = 0;
    let mut found = Vec::new();
    for root in nodes {
        if order[root] != UNSEEN {
            continue;
        }
        let mut path = vec![(root, successors(root))];
        (order[root], low[root], on_stack[root]) = (next, next, true);
        next += 1;
        stack.push(root);
        while let Some((node, rest)) = path.last_mut() {
            let node = *node;
            if let Some(target) = rest.next() {
                if order[target] == UNSEEN {
                    (order[target], low[target], on_stack[target]) = (next, next, true);
                    next += 1;
                    stack.push(target);
                    path.push((target, successors(target)));
                } else if on_stack[target] {
                    low[node] = low[node].min(order[target]);
                }
                continue;
            }
            path.pop();
            if let Some((parent, _)) = path.last() {
                low[*parent] = low[*parent].min(low[node]);
            }
            if low[node] == order[node] {
                let start = stack.iter().rposition(|member| *member == node).unwrap_or_default();
                let mut component = stack.split_off(start);
                for member in &component {
                    on_stack[*member] = false;
                }
                if component.len() > 1 || successors(node).any(|target| target == node) {
                    component.sort_unstable();
                    found.push(component);
                }
            }
        }
    }
    found
}
