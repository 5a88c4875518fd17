//! Checks the structure that the BPMN 2.0 schema requires: places and order of elements, types of attributes, unique
//! ids, and references that resolve.

mod grammar;
mod simple;

use std::collections::HashMap;

use crate::document::Node;
use crate::names;
use crate::rule::Rule;
use crate::sink::{Sink, quoted};
use grammar::{Content, Grammar, Name, Particle, Type, Value};

pub(crate) fn check<'d>(root: Node<'d>, sink: &mut Sink<'d>) {
    let mut checker =
        Checker { grammar: Grammar::bpmn20(), sink, ids: HashMap::new(), references: Vec::new() };
    checker.check_lax(root);
    checker.check_references();
}

struct Checker<'s, 'd> {
    grammar: &'s Grammar,
    sink: &'s mut Sink<'d>,
    ids: HashMap<&'d str, Node<'d>>,
    references: Vec<(&'d str, Node<'d>)>,
}

impl<'s, 'd> Checker<'s, 'd> {
    /// Checks an element that the grammar declares. In one that it does not, only declared descendants are checked.
    fn check_lax(&mut self, node: Node<'d>) {
        let declared = Name::of(node).and_then(|name| self.grammar.element(name));
        if let Some(element) = declared {
            self.check_element(node, element.content);
            return;
        }
        for child in node.children().filter(Node::is_element) {
            self.check_lax(child);
        }
    }

    fn check_element(&mut self, node: Node<'d>, content: Content) {
        match content {
            Content::Simple(value) => self.check_simple(node, value),
            Content::Complex(name) => {
                let Some(declared) = self.grammar.complex(name) else { return };
                let actual = self.actual_type(node, name, declared);
                self.check_attributes(node, actual);
                self.check_children(node, actual);
            }
        }
    }

    /// The element's type: that of `xsi:type` if it is derived from the declared one, else the declared one.
    fn actual_type(&mut self, node: Node<'d>, name: Name<'static>, declared: &'s Type) -> &'s Type {
        let Some(value) = node.attribute((names::XSI, "type")).map(str::trim) else { return declared };
        let (prefix, local) = match value.split_once(':') {
            Some((prefix, local)) => (Some(prefix), local),
            None => (None, value),
        };
        let actual = node
            .lookup_namespace_uri(prefix)
            .and_then(|namespace| Name::new(namespace, local))
            .and_then(|actual| self.grammar.complex(actual).map(|found| (actual, found)));
        match actual {
            Some((actual, found)) if actual == name || found.bases.contains(&name) => found,
            _ => {
                let message = format!("xsi:type {} does not fit {}", quoted(value), node.tag_name().name());
                self.sink.report(Rule::SchemaType, node, message);
                declared
            }
        }
    }

    fn check_attributes(&mut self, node: Node<'d>, declared: &'s Type) {
        let element = node.tag_name().name();
        for attribute in node.attributes() {
            let name = attribute.name();
            match attribute.namespace() {
                Some(names::XSI) => {}
                Some(namespace) => {
                    if !declared.foreign_attributes || Some(namespace) == node.tag_name().namespace() {
                        let message = format!("attribute {} is not allowed in {element}", quoted(name));
                        self.sink.report(Rule::SchemaAttribute, node, message);
                    }
                }
                None => {
                    if let Some(expected) = declared.attributes.get(name) {
                        self.check_value(node, name, attribute.value(), *expected);
                    } else {
                        let message = format!("attribute {} is not allowed in {element}", quoted(name));
                        self.sink.report(Rule::SchemaAttribute, node, message);
                    }
                }
            }
        }
        for name in &declared.required_attributes {
            if node.attribute(*name).is_none() {
                self.sink.report(
                    Rule::SchemaAttribute,
                    node,
                    format!("missing attribute {name} of {element}"),
                );
            }
        }
    }

    fn check_value(&mut self, node: Node<'d>, name: &str, value: &'d str, expected: Value) {
        if !simple::is_valid(node, value, expected) {
            let message = format!("attribute {name} is {}, not {}", quoted(value), simple::noun(expected));
            self.sink.report(Rule::SchemaAttribute, node, message);
            return;
        }
        if expected == Value::IdRef {
            self.references.push((value.trim(), node));
        } else if expected == Value::Id && self.ids.insert(value.trim(), node).is_some() {
            let message = format!("id {} is used more than once", quoted(value));
            self.sink.report(Rule::DuplicateId, node, message);
        }
    }

    fn check_simple(&mut self, node: Node<'d>, expected: Value) {
        let element = node.tag_name().name();
        if let Some(child) = node.children().find(Node::is_element) {
            self.sink.report(Rule::SchemaElement, child, format!("element inside {element}"));
            return;
        }
        if let Some(attribute) = node.attributes().find(|attribute| attribute.namespace() != Some(names::XSI))
        {
            let message = format!("attribute {} is not allowed in {element}", quoted(attribute.name()));
            self.sink.report(Rule::SchemaAttribute, node, message);
        }
        // Comments split the text of an element. Only its first part is checked.
        let value =
            node.children().find_map(|child| if child.is_text() { child.text_storage() } else { None });
        let value = match value {
            Some(roxmltree::StringStorage::Borrowed(text)) => *text,
            Some(roxmltree::StringStorage::Owned(text)) => {
                if !simple::is_valid(node, text, expected) {
                    self.report_text(node, text, expected);
                }
                return;
            }
            None => "",
        };
        if !simple::is_valid(node, value, expected) {
            self.report_text(node, value, expected);
        } else if expected == Value::IdRef {
            self.references.push((value.trim(), node));
        }
    }

    fn report_text(&mut self, node: Node<'d>, value: &str, expected: Value) {
        let element = node.tag_name().name();
        let message = format!("{element} is {}, not {}", quoted(value.trim()), simple::noun(expected));
        self.sink.report(Rule::SchemaText, node, message);
    }

    fn check_children(&mut self, node: Node<'d>, declared: &'s Type) {
        let element = node.tag_name().name();
        let mut place = Place { index: 0, count: 0 };
        for child in node.children() {
            if child.is_element() {
                let Some((next, content)) = self.next_place(place, child, declared) else {
                    let message =
                        format!("{} is not allowed here in {element}", quoted(child.tag_name().name()));
                    self.sink.report(Rule::SchemaElement, child, message);
                    continue;
                };
                self.check_skipped(node, declared, place, next.index);
                place = next;
                match content {
                    Some(content) => self.check_element(child, content),
                    None => self.check_lax(child),
                }
            } else if child.is_text()
                && !declared.mixed
                && child.text().is_some_and(|text| !text.chars().all(is_xml_space))
            {
                self.sink.report(Rule::SchemaText, node, format!("text in {element}"));
            }
        }
        self.check_skipped(node, declared, place, declared.particles.len());
    }

    /// The particle that matches this child, at the current one or after it, and the child's content; `None` content
    /// when a wildcard matches.
    fn next_place(
        &self,
        place: Place,
        child: Node<'d>,
        declared: &'s Type,
    ) -> Option<(Place, Option<Content>)> {
        let name = Name::of(child);
        let declaration = name.and_then(|name| self.grammar.element(name));
        for (index, particle) in declared.particles.iter().enumerate().skip(place.index) {
            let count = if index == place.index { place.count } else { 0 };
            if particle.max.is_some_and(|max| count >= max) {
                continue;
            }
            let content = match particle.wildcard_matches(child) {
                Some(true) => Some(None),
                Some(false) => None,
                None => name.and_then(|name| particle.content_of(name, declaration)).map(Some),
            };
            if let Some(content) = content {
                return Some((Place { index, count: count + 1 }, content));
            }
        }
        None
    }

    /// Reports particles between two places that have too few children.
    fn check_skipped(&mut self, node: Node<'d>, declared: &'s Type, from: Place, to: usize) {
        for (index, particle) in declared.particles.iter().enumerate().take(to).skip(from.index) {
            let count = if index == from.index { from.count } else { 0 };
            if count < particle.min {
                let message = format!("missing {} in {}", particle.noun(), node.tag_name().name());
                self.sink.report(Rule::SchemaElement, node, message);
            }
        }
    }

    fn check_references(&mut self) {
        for (id, node) in std::mem::take(&mut self.references) {
            if !self.ids.contains_key(id) {
                let element = node.tag_name().name();
                let message = format!("{element} refers to id {} that does not exist", quoted(id));
                self.sink.report(Rule::UnresolvedId, node, message);
            }
        }
    }
}

/// Position in the particles while the children of an element are checked: the current particle, and how many children
/// matched it.
#[derive(Debug, Clone, Copy)]
struct Place {
    index: usize,
    count: u32,
}

impl Particle {
    /// Whether the wildcard matches the element; `None` if the particle is not a wildcard.
    fn wildcard_matches(&self, child: Node<'_>) -> Option<bool> {
        match self.wildcard? {
            grammar::Wildcard::Any => Some(true),
            grammar::Wildcard::Other => {
                let own = child.parent_element().and_then(|parent| parent.tag_name().namespace());
                let namespace = child.tag_name().namespace();
                Some(namespace.is_some() && namespace != own)
            }
        }
    }
}

fn is_xml_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}
