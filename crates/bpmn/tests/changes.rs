//! Properties of comparisons: of any two documents, in any formatting, and of the largest ones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bpmn::limits::MAX_BYTES;
use bpmn::{Changes, Definitions, compare, parse};
use proptest::prelude::*;

/// start → fork → decide → any number of tasks → (join or end); the default flow of `decide` leads to the end, and `fork`
/// leads to the join as well.
#[derive(Debug, Clone, PartialEq)]
struct Sketch {
    process: &'static str,
    tasks: BTreeMap<u8, Task>,
    has_join: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Task {
    job_type: &'static str,
    retries: Option<&'static str>,
    header: Option<(&'static str, &'static str)>,
    limit: u8,
}

const DIAGRAM: &str =
    r#"<di:BPMNDiagram id="diagram"><di:BPMNPlane id="plane" bpmnElement="order"/></di:BPMNDiagram>"#;

/// How a document is written. None of it means anything.
#[derive(Debug, Clone)]
struct Style {
    prefix: &'static str,
    extension: &'static str,
    gap: &'static str,
    quote: char,
    reversed_attributes: bool,
    nodes_last: bool,
    diagram: &'static str,
    name: &'static str,
}

fn any_task() -> impl Strategy<Value = Task> {
    let header =
        prop::option::of((prop::sample::select(vec!["a", "b"]), prop::sample::select(vec!["1", "2"])));
    let retries = prop::option::of(prop::sample::select(vec!["1", "7", "=tries", "=tries + 1"]));
    (prop::sample::select(vec!["charge", "refund"]), retries, header, 0_u8..3)
        .prop_map(|(job_type, retries, header, limit)| Task { job_type, retries, header, limit })
}

fn any_sketch() -> impl Strategy<Value = Sketch> {
    let process = prop_oneof![9 => Just("order"), 1 => Just("other")];
    (process, prop::collection::btree_map(0_u8..8, any_task(), 0..8), any::<bool>())
        .prop_map(|(process, tasks, has_join)| Sketch { process, tasks, has_join })
}

fn any_style() -> impl Strategy<Value = Style> {
    let extensions = vec!["http://camunda.org/schema/zeebe/1.0", "http://workflow.example.com/schema/1.0"];
    (
        prop::sample::select(vec!["", "bpmn:", "x:"]),
        prop::sample::select(extensions),
        prop::sample::select(vec!["", " ", "\n\t", "\r\n", "<!-- a < b -->"]),
        prop::sample::select(vec!['"', '\'']),
        any::<(bool, bool)>(),
        prop::sample::select(vec!["", DIAGRAM]),
        prop::sample::select(vec!["", "Charge", "Ä & B"]),
    )
        .prop_map(|(prefix, extension, gap, quote, (reversed_attributes, nodes_last), diagram, name)| {
            Style { prefix, extension, gap, quote, reversed_attributes, nodes_last, diagram, name }
        })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('\'', "&apos;")
}

impl Style {
    fn attributes(&self, attributes: &[(&str, &str)]) -> String {
        let quote = self.quote;
        let mut written: Vec<String> = attributes
            .iter()
            .map(|(name, value)| format!(" {name}={quote}{}{quote}", escaped(value)))
            .collect();
        if self.reversed_attributes {
            written.reverse();
        }
        written.concat()
    }

    fn element(&self, name: &str, attributes: &[(&str, &str)], body: &str) -> String {
        let (prefix, gap) = (self.prefix, self.gap);
        let attributes = self.attributes(attributes);
        format!("{gap}<{prefix}{name}{attributes}>{body}{gap}</{prefix}{name}>")
    }

    fn node(&self, kind: &str, id: &str, body: &str) -> String {
        let name = if self.name.is_empty() { vec![] } else { vec![("name", self.name)] };
        self.element(kind, &[vec![("id", id)], name].concat(), body)
    }

    fn task(&self, id: &str, task: &Task) -> String {
        let retries = task.retries.map(|retries| ("retries", retries));
        let definition: Vec<_> = [("type", task.job_type)].into_iter().chain(retries).collect();
        let definition = format!("<e:taskDefinition{}/>", self.attributes(&definition));
        let header = task.header.map(|(key, value)| {
            format!(
                "<e:taskHeaders><e:header{}/></e:taskHeaders>",
                self.attributes(&[("key", key), ("value", value)])
            )
        });
        let extensions = format!("{}{definition}{}", self.gap, header.unwrap_or_default());
        self.node("serviceTask", id, &self.element("extensionElements", &[], &extensions))
    }

    fn flow(&self, source: &str, target: &str, condition: Option<&str>) -> String {
        let id = format!("{source}_{target}");
        let body = condition.map(|condition| self.element("conditionExpression", &[], &escaped(condition)));
        let ends = [("id", id.as_str()), ("sourceRef", source), ("targetRef", target)];
        self.element("sequenceFlow", &ends, &body.unwrap_or_default())
    }
}

impl Sketch {
    fn parts(&self, style: &Style) -> (Vec<String>, Vec<String>) {
        let mut nodes = vec![
            style.node("startEvent", "start", ""),
            style.node("parallelGateway", "fork", ""),
            style.element("exclusiveGateway", &[("id", "decide"), ("default", "decide_end")], ""),
            style.node("endEvent", "end", ""),
        ];
        let mut flows = vec![
            style.flow("start", "fork", None),
            style.flow("fork", "decide", None),
            style.flow("decide", "end", None),
        ];
        if self.has_join {
            nodes.push(style.node("parallelGateway", "join", ""));
            flows.extend([style.flow("fork", "join", None), style.flow("join", "end", None)]);
        }
        for (number, task) in &self.tasks {
            let id = format!("task{number}");
            nodes.push(style.task(&id, task));
            flows.push(style.flow("decide", &id, Some(&format!("=amount > {}", task.limit))));
            flows.push(style.flow(&id, if self.has_join { "join" } else { "end" }, None));
        }
        (nodes, flows)
    }

    fn write(&self, style: &Style) -> String {
        let (mut nodes, flows) = self.parts(style);
        if style.nodes_last {
            nodes.reverse();
        }
        let parts = if style.nodes_last { [flows, nodes] } else { [nodes, flows] };
        let body = parts.concat().concat();
        let process = style.element("process", &[("id", self.process), ("isExecutable", "true")], &body);
        let prefix = style.prefix;
        let own =
            if prefix.is_empty() { String::new() } else { format!(":{}", prefix.trim_end_matches(':')) };
        format!(
            r#"<{prefix}definitions xmlns{own}="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:di="http://www.omg.org/spec/BPMN/20100524/DI" xmlns:e="{}" targetNamespace="t">{process}{}</{prefix}definitions>"#,
            style.extension, style.diagram
        )
    }

    fn parsed(&self, style: &Style) -> Definitions {
        parsed(&self.write(style))
    }

    /// Ids of nodes and of all elements.
    fn ids(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let mut nodes: BTreeSet<String> =
            ["start", "fork", "decide", "end"].into_iter().map(str::to_owned).collect();
        let mut flows: BTreeSet<String> =
            ["start_fork", "fork_decide", "decide_end"].into_iter().map(str::to_owned).collect();
        if self.has_join {
            nodes.insert("join".to_owned());
            flows.extend(["fork_join".to_owned(), "join_end".to_owned()]);
        }
        for number in self.tasks.keys() {
            nodes.insert(format!("task{number}"));
            let end = if self.has_join { "join" } else { "end" };
            flows.extend([format!("decide_task{number}"), format!("task{number}_{end}")]);
        }
        (nodes.clone(), nodes.union(&flows).cloned().collect())
    }

    /// What [`compare`] should say, of two sketches of one process.
    fn changes_to(&self, new: &Self) -> Changes {
        let ((former_nodes, former_ids), (_, new_ids)) = (self.ids(), new.ids());
        let list = |ids: BTreeSet<String>| ids.into_iter().collect::<Vec<_>>();
        let removed = &former_ids - &new_ids;
        let mut changed = BTreeSet::new();
        for (number, task) in &self.tasks {
            let Some(other) = new.tasks.get(number) else { continue };
            let number_of_retries = |task: &Task| task.retries.unwrap_or("3");
            if (task.job_type, number_of_retries(task), task.header)
                != (other.job_type, number_of_retries(other), other.header)
            {
                changed.insert(format!("task{number}"));
            }
            if task.limit != other.limit {
                changed.insert(format!("decide_task{number}"));
            }
        }
        let tried = |sketch: &Self| sketch.tasks.keys().copied().collect::<Vec<_>>();
        if tried(self) != tried(new) {
            changed.insert("decide".to_owned());
            // With a flow of the fork alone, the join waits for nothing.
            if self.has_join && new.has_join {
                changed.insert("join".to_owned());
            }
        }
        Changes {
            added: list(&new_ids - &former_ids),
            removed_nodes: list(removed.intersection(&former_nodes).cloned().collect()),
            removed: list(removed),
            changed: list(changed),
        }
    }
}

fn parsed(document: &str) -> Definitions {
    parse(document.as_bytes()).expect("should have no findings")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_way_a_document_is_written_changes_nothing(sketch in any_sketch(), a in any_style(), b in any_style()) {
        prop_assert_eq!(compare(&sketch.parsed(&a), &sketch.parsed(&b)), Changes::default());
    }

    #[test]
    fn what_is_added_one_way_is_removed_the_other_way(
        former in any_sketch(), new in any_sketch(), a in any_style(), b in any_style(),
    ) {
        let (former, new) = (former.parsed(&a), new.parsed(&b));
        let (there, back) = (compare(&former, &new), compare(&new, &former));
        prop_assert_eq!((&there.added, &there.removed), (&back.removed, &back.added));
        prop_assert_eq!(&there.changed, &back.changed);
        for ids in [&there.added, &there.removed, &there.changed, &there.removed_nodes] {
            prop_assert!(ids.is_sorted_by(|a, b| a < b), "{:?}", ids);
        }
        prop_assert_eq!(there.is_empty(), there == Changes::default());
    }

    #[test]
    fn changes_are_those_that_were_made(
        former in any_sketch(), new in any_sketch(), a in any_style(), b in any_style(),
    ) {
        let new = Sketch { process: former.process, ..new };
        prop_assert_eq!(compare(&former.parsed(&a), &new.parsed(&b)), former.changes_to(&new));
    }
}

const OPEN: &str = r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="t"><process id="P" isExecutable="true"><startEvent id="S"/><exclusiveGateway id="X" default="d"/><sequenceFlow id="f" sourceRef="S" targetRef="X"/><endEvent id="E"/><sequenceFlow id="d" sourceRef="X" targetRef="E"/>"#;
const CLOSE: &str = "</process></definitions>";

/// A gateway with as many flows as a document has room for.
fn largest(condition: &str) -> Definitions {
    let mut document = OPEN.to_owned();
    for number in 0.. {
        let flow = format!(
            "<sequenceFlow id=\"f{number}\" sourceRef=\"X\" targetRef=\"E\"><conditionExpression>{condition}</conditionExpression></sequenceFlow>"
        );
        if document.len() + flow.len() + CLOSE.len() > MAX_BYTES {
            break;
        }
        document.push_str(&flow);
    }
    parsed(&(document + CLOSE))
}

#[test]
fn the_largest_documents_are_compared_quickly() {
    let (former, new) = (largest("=a"), largest("=b"));
    let started = Instant::now();
    let changes = compare(&former, &new);
    let elapsed = started.elapsed();
    println!("{} changed flows in {elapsed:?}", changes.changed.len());
    assert!(changes.changed.len() > 5_000 && changes.added.is_empty(), "{}", changes.changed.len());
    // Far more than a debug build on a busy machine needs, and far less than anything quadratic would need.
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
}
