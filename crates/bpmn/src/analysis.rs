//! Runs the stages in order, for [`lint`], [`lint_beside`] and [`parse`].

use std::collections::BTreeMap;

use roxmltree::{ParsingOptions, TextPos};

use crate::document::{Document, extensions};
use crate::finding::{Mode, Report};
use crate::limits::MAX_NODES;
use crate::model::{self, Definitions};
use crate::rule::Rule;
use crate::sink::Sink;
use crate::{capability, names, rules, scan, schema, style};

/// Checks a document against all rules of the mode. Never fails: everything that is wrong is in the report.
pub fn lint(bytes: &[u8], mode: Mode) -> Report {
    lint_beside(bytes, mode, &BTreeMap::new())
}

/// The same for a document that belongs together with others. `others` has the ids of their executable processes, each
/// with the name of its document, which a finding quotes. [`Report::process_ids`] are those to add for the next one.
pub fn lint_beside(bytes: &[u8], mode: Mode, others: &BTreeMap<String, String>) -> Report {
    analyse(bytes, mode, others).0
}

/// The model of a document that breaks no rule of [`Mode::Lenient`]; otherwise the report that says which.
pub fn parse(bytes: &[u8]) -> Result<Definitions, Report> {
    match analyse(bytes, Mode::Lenient, &BTreeMap::new()) {
        (report, Some(definitions)) if report.is_deployable() => Ok(definitions),
        (report, _) => Err(report),
    }
}

fn analyse(bytes: &[u8], mode: Mode, others: &BTreeMap<String, String>) -> (Report, Option<Definitions>) {
    let mut sink = Sink::default();
    let text = match scan::scan(bytes) {
        Ok(text) => text,
        Err(refusal) => {
            sink.report_at(refusal.rule, refusal.offset, refusal.message);
            return (report_of(sink, scan::readable(bytes)), None);
        }
    };
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let tree = match roxmltree::Document::parse_with_options(text, options) {
        Ok(tree) => tree,
        Err(roxmltree::Error::NodesLimitReached) => {
            sink.report_at(Rule::XmlTooManyNodes, 0, format!("document has more than {MAX_NODES} nodes"));
            return (report_of(sink, text), None);
        }
        Err(error) => {
            // The finding has its own line and column, so the parser's position is removed from the message.
            let message =
                format!("not well-formed XML: {error}").replace(&format!(" at {}", error.pos()), "");
            sink.report_at(Rule::XmlMalformed, offset_of(text, error.pos()), message);
            return (report_of(sink, text), None);
        }
    };
    let root = tree.root_element();
    if (root.tag_name().namespace(), root.tag_name().name()) != (Some(names::BPMN), "definitions") {
        sink.report(Rule::XmlRoot, root, "root element is not definitions of BPMN 2.0");
        return (report_of(sink, text), None);
    }

    schema::check(root, &mut sink);
    let document = Document::build(root);
    rules::check(&document, &mut sink);
    capability::check(&document, &mut sink);
    let definitions = sink.is_empty().then(|| Definitions::build(&document));
    if mode == Mode::Strict {
        style::check(&document, others, &mut sink);
    }

    let mut report = report_of(sink, text);
    describe(&document, &mut report);
    (report, definitions)
}

fn report_of(sink: Sink<'_>, text: &str) -> Report {
    let (findings, truncated) = sink.into_findings(text);
    Report { findings, truncated, ..Report::default() }
}

/// Adds process ids, version tags and job types to the report.
fn describe(document: &Document<'_>, report: &mut Report) {
    for scope in document.process_scopes() {
        let id = scope.node.attribute("id").map(str::to_owned);
        report.process_ids.extend(id.filter(|id| capability::is_identifier(id)));
        let tag = model::version_tag(scope.node);
        report.version_tags.extend(tag.filter(|tag| capability::is_identifier(tag)));
    }
    report.job_types = document
        .elements
        .iter()
        .flat_map(|element| extensions(element.node, "taskDefinition"))
        .filter_map(|definition| model::static_text(definition.attribute("type")?))
        .filter(|job_type| !job_type.is_empty() && capability::is_identifier(job_type))
        .collect();
    report.job_types.sort_unstable();
    report.job_types.dedup();
}

/// The byte offset of a line and column of the tree parser.
fn offset_of(text: &str, place: TextPos) -> usize {
    let line = usize::try_from(place.row.saturating_sub(1)).unwrap_or(usize::MAX);
    let column = usize::try_from(place.col.saturating_sub(1)).unwrap_or(usize::MAX);
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = &text[start..];
    start + rest.char_indices().nth(column).map_or(rest.len(), |(offset, _)| offset)
}

#[cfg(test)]
mod tests;
