//! Collects the findings of the stages in any order, and turns them into an ordered report of limited size.

use std::borrow::Cow;

use roxmltree::Node;

use crate::finding::Finding;
use plain_text::is_printable;

use crate::limits::{MAX_FINDINGS, MAX_MESSAGE_CHARS, MAX_QUOTED_CHARS};
use crate::names;
use crate::rule::Rule;

/// When more findings than this are collected, those that a report would not contain are dropped.
const MAX_DRAFTS: usize = 16 * MAX_FINDINGS;

/// A finding before its line and column are known. Its order is that of a report.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Draft<'d> {
    offset: usize,
    rule: Rule,
    element_id: Option<&'d str>,
    message: Cow<'static, str>,
}

#[derive(Debug, Default)]
pub(crate) struct Sink<'d> {
    drafts: Vec<Draft<'d>>,
    /// Set when findings were dropped: later ones beyond this offset are not collected.
    cutoff: Option<usize>,
}

impl<'d> Sink<'d> {
    /// Adds a finding at a byte offset, without an element.
    pub(crate) fn report_at(&mut self, rule: Rule, offset: usize, message: impl Into<Cow<'static, str>>) {
        self.push(Draft { offset, rule, element_id: None, message: message.into() });
    }

    /// Adds a finding at a node. Its element id is that of the nearest element that a modeller shows.
    pub(crate) fn report(&mut self, rule: Rule, node: Node<'d, 'd>, message: impl Into<Cow<'static, str>>) {
        let offset = node.range().start;
        if self.cutoff.is_none_or(|cutoff| offset <= cutoff) {
            self.push(Draft { offset, rule, element_id: visible_id(node), message: message.into() });
        }
    }

    fn push(&mut self, draft: Draft<'d>) {
        self.drafts.push(draft);
        if self.drafts.len() > MAX_DRAFTS {
            self.prune();
        }
    }

    /// Drops the findings that a report would not contain.
    fn prune(&mut self) {
        self.drafts.sort_unstable();
        self.drafts.dedup();
        if self.drafts.len() > MAX_FINDINGS {
            self.drafts.truncate(MAX_FINDINGS);
            self.cutoff = self.drafts.last().map(|draft| draft.offset);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.drafts.is_empty()
    }

    /// The findings in the order of the text, and whether there were more than a report may contain.
    pub(crate) fn into_findings(mut self, text: &str) -> (Vec<Finding>, bool) {
        self.prune();
        let truncated = self.cutoff.is_some();
        let mut positions = Positions::new(text);
        let findings = self
            .drafts
            .into_iter()
            .map(|draft| {
                let (line, column) = positions.advance_to(draft.offset);
                Finding {
                    rule: draft.rule,
                    severity: draft.rule.severity(),
                    element_id: draft.element_id.map(quoted),
                    line,
                    column,
                    message: printable(&draft.message, MAX_MESSAGE_CHARS),
                }
            })
            .collect();
        (findings, truncated)
    }
}

/// Converts increasing offsets to lines and columns, both counted from 1, columns in characters as in editors. Reads
/// each character of the text once.
struct Positions<'t> {
    text: &'t str,
    offset: usize,
    line: u32,
    column: u32,
}

impl<'t> Positions<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, offset: 0, line: 1, column: 1 }
    }

    fn advance_to(&mut self, offset: usize) -> (u32, u32) {
        let mut end = offset.clamp(self.offset, self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        for (place, character) in self.text[self.offset..end].char_indices() {
            // Line ends as in XML: a line feed, or a carriage return without a line feed.
            let is_line_end = match character {
                '\n' => true,
                '\r' => !self.text[self.offset + place + 1..].starts_with('\n'),
                _ => false,
            };
            if is_line_end {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.offset = end;
        (self.line, self.column)
    }
}

/// The id of the nearest element that modellers show: not that of an event definition, a condition or an extension
/// element.
fn visible_id<'d>(node: Node<'d, 'd>) -> Option<&'d str> {
    node.ancestors()
        .filter(|ancestor| ancestor.tag_name().namespace() == Some(names::BPMN))
        .filter(|ancestor| {
            let name = ancestor.tag_name().name();
            !(name.ends_with("EventDefinition")
                || name.ends_with("Characteristics")
                || name.ends_with("Expression"))
        })
        .find_map(|ancestor| ancestor.attribute("id"))
        .filter(|id| !id.is_empty())
}

/// Text of the document for a message: printable, on one line, truncated.
pub(crate) fn quoted(text: &str) -> String {
    printable(text, MAX_QUOTED_CHARS)
}

/// The same in quotation marks and with escapes, to show white space and invisible characters.
pub(crate) fn escaped(text: &str) -> String {
    let cut = text.char_indices().nth(MAX_QUOTED_CHARS).map_or(text, |(end, _)| &text[..end]);
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut:?}{dots}")
}

fn printable(text: &str, limit: usize) -> String {
    let mut result: String = text
        .chars()
        .take(limit)
        .map(|character| if is_printable(character) { character } else { '\u{fffd}' })
        .collect();
    if text.chars().nth(limit).is_some() {
        result.pop();
        result.push('…');
    }
    result
}

#[cfg(test)]
mod tests;
