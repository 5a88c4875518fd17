//! Parses `bpmn20.schema`, whose notation is described at its top.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::document::Node;
use crate::names;

const BPMN20: &str = include_str!("bpmn20.schema");

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Namespace {
    Bpmn,
    BpmnDi,
    Dc,
    Di,
}

/// An element or type of the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name<'n> {
    pub(super) namespace: Namespace,
    pub(super) local: &'n str,
}

impl<'n> Name<'n> {
    pub(super) fn new(namespace: &str, local: &'n str) -> Option<Self> {
        let namespace = match namespace {
            names::BPMN => Namespace::Bpmn,
            names::BPMN_DI => Namespace::BpmnDi,
            names::DC => Namespace::Dc,
            names::DI => Namespace::Di,
            _ => return None,
        };
        Some(Self { namespace, local })
    }

    pub(super) fn of(node: Node<'n>) -> Option<Self> {
        Self::new(node.tag_name().namespace()?, node.tag_name().name())
    }

    fn parse(text: &'n str) -> Self {
        let (namespace, local) = match text.split_once(':') {
            Some(("bpmndi", local)) => (Namespace::BpmnDi, local),
            Some(("dc", local)) => (Namespace::Dc, local),
            Some(("di", local)) => (Namespace::Di, local),
            _ => (Namespace::Bpmn, text),
        };
        Self { namespace, local }
    }
}

/// A simple type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    String,
    AnyUri,
    Boolean,
    Integer,
    Double,
    QName,
    Id,
    IdRef,
    /// One of the words between bars.
    OneOf(&'static str),
}

impl Value {
    fn parse(text: &'static str) -> Self {
        match text {
            "string" => Self::String,
            "anyURI" => Self::AnyUri,
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "double" => Self::Double,
            "QName" => Self::QName,
            "ID" => Self::Id,
            "IDREF" => Self::IdRef,
            words => Self::OneOf(words),
        }
    }
}

/// The content of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Simple(Value),
    Complex(Name<'static>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wildcard {
    Any,
    Other,
}

#[derive(Debug, Clone)]
pub(super) struct Particle {
    /// Names of elements. With a content: exactly that element. Without: the declared element or one of its
    /// substitution group.
    alternatives: Vec<(Name<'static>, Option<Content>)>,
    pub(super) wildcard: Option<Wildcard>,
    pub(super) min: u32,
    pub(super) max: Option<u32>,
}

impl Particle {
    fn parse(text: &'static str) -> Self {
        let (text, min, max) = if let Some(text) = text.strip_suffix("2+") {
            (text, 2, None)
        } else if let Some(text) = text.strip_suffix('?') {
            (text, 0, Some(1))
        } else if let Some(text) = text.strip_suffix('*') {
            (text, 0, None)
        } else if let Some(text) = text.strip_suffix('+') {
            (text, 1, None)
        } else {
            (text, 1, Some(1))
        };
        let wildcard = match text {
            "##any" => Some(Wildcard::Any),
            "##other" => Some(Wildcard::Other),
            _ => None,
        };
        let alternatives = text.split('|').filter(|_| wildcard.is_none()).map(parse_alternative).collect();
        Self { alternatives, wildcard, min, max }
    }

    /// The content of a child with this name; `None` if this particle does not match it.
    pub(super) fn content_of(&self, name: Name<'_>, declaration: Option<&Element>) -> Option<Content> {
        self.alternatives.iter().find_map(|(wanted, content)| match (content, declaration) {
            (Some(content), _) => (*wanted == name).then_some(*content),
            (None, Some(element)) => {
                (*wanted == name || element.heads.contains(wanted)).then_some(element.content)
            }
            (None, None) => None,
        })
    }

    /// The word for a message.
    pub(super) fn noun(&self) -> String {
        let names: Vec<&str> = self.alternatives.iter().map(|(name, _)| name.local).collect();
        names.join(" or ")
    }
}

/// `name` or `name(type)`.
fn parse_alternative(text: &'static str) -> (Name<'static>, Option<Content>) {
    match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        Some((name, content)) => {
            let content = match content {
                "QName" | "IDREF" => Content::Simple(Value::parse(content)),
                complex => Content::Complex(Name::parse(complex)),
            };
            (Name::parse(name), Some(content))
        }
        None => (Name::parse(text), None),
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Type {
    /// The types that it extends, nearest first.
    pub(super) bases: Vec<Name<'static>>,
    pub(super) particles: Vec<Particle>,
    pub(super) attributes: HashMap<&'static str, Value>,
    pub(super) required_attributes: Vec<&'static str>,
    pub(super) foreign_attributes: bool,
    pub(super) mixed: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Element {
    pub(super) content: Content,
    /// Heads of its substitution groups, nearest first.
    pub(super) heads: Vec<Name<'static>>,
}

#[derive(Debug, Default)]
pub(super) struct Grammar {
    types: HashMap<Name<'static>, Type>,
    elements: HashMap<Name<'static>, Element>,
}

impl Grammar {
    pub(super) fn bpmn20() -> &'static Self {
        static GRAMMAR: OnceLock<Grammar> = OnceLock::new();
        GRAMMAR.get_or_init(|| Self::parse(BPMN20))
    }

    pub(super) fn element<'g>(&'g self, name: Name<'g>) -> Option<&'g Element> {
        self.elements.get(&name)
    }

    pub(super) fn complex<'g>(&'g self, name: Name<'g>) -> Option<&'g Type> {
        self.types.get(&name)
    }

    fn parse(text: &'static str) -> Self {
        let mut grammar = Self::default();
        for line in text.lines() {
            if let Some(line) = line.strip_prefix("type ") {
                grammar.add_type(line);
            } else if let Some(line) = line.strip_prefix("element ") {
                grammar.add_element(line);
            }
        }
        grammar
    }

    fn add_type(&mut self, line: &'static str) {
        let (line, attributes) = line.split_once(" @ ").unwrap_or((line, ""));
        let (head, particles) = line.split_once(" = ").unwrap_or((line, ""));
        let head: Vec<&'static str> = head.split_whitespace().collect();
        let mut added = match head.as_slice() {
            [_, ":", base, ..] => {
                let base = Name::parse(base);
                let mut inherited = self.types.get(&base).cloned().unwrap_or_default();
                inherited.bases.insert(0, base);
                inherited
            }
            _ => Type::default(),
        };
        added.mixed |= head.contains(&"mixed");
        added.particles.extend(particles.split_whitespace().map(Particle::parse));
        for attribute in attributes.split_whitespace() {
            let Some((name, value)) = attribute.split_once(':') else {
                added.foreign_attributes |= attribute == "##other";
                continue;
            };
            if let Some(required) = value.strip_suffix('!') {
                added.required_attributes.push(name);
                added.attributes.insert(name, Value::parse(required));
            } else {
                added.attributes.insert(name, Value::parse(value));
            }
        }
        if let Some(name) = head.first() {
            self.types.insert(Name::parse(name), added);
        }
    }

    fn add_element(&mut self, line: &'static str) {
        let (line, head) = match line.split_once(" < ") {
            Some((line, head)) => (line, Some(Name::parse(head))),
            None => (line, None),
        };
        let mut words = line.split_whitespace();
        let Some(name) = words.next().map(Name::parse) else { return };
        let named = words.next().map(Name::parse);
        let content = named.or_else(|| self.conventional_type(name)).map(Content::Complex);
        let Some(content) = content else { return };
        let heads = head
            .into_iter()
            .flat_map(|head| {
                let further = self.elements.get(&head).map(|element| element.heads.clone());
                std::iter::once(head).chain(further.unwrap_or_default())
            })
            .collect();
        self.elements.insert(name, Element { content, heads });
    }

    /// `tServiceTask` for `serviceTask`.
    fn conventional_type(&self, name: Name<'static>) -> Option<Name<'static>> {
        self.types.keys().copied().find(|known| {
            known.namespace == name.namespace
                && known.local.strip_prefix('t').is_some_and(|rest| {
                    rest.len() == name.local.len()
                        && rest[1..] == name.local[1..]
                        && rest[..1].eq_ignore_ascii_case(&name.local[..1])
                })
        })
    }
}

#[cfg(test)]
mod tests;
