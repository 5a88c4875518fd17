//! The CRDs as YAML and as tables of their documentation. No I/O: `crdgen` reads and writes the files.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

use crate::backup::BackupReason;
use crate::cluster::ClusterReason;
use crate::grammar;
use crate::process::ProcessReason;
use crate::reason::{CommonReason, Reason};
use crate::tenant::TenantReason;
use crate::worker::WorkerReason;

/// A part of a document that is made from the code: everything between `<!-- <name> -->` and `<!-- /<name> -->`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Name in the markers.
    pub name: &'static str,
    /// Markdown between them.
    pub content: String,
}

/// A document and its generated parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Path under `docs/`.
    pub path: String,
    /// The generated parts.
    pub sections: Vec<Section>,
}

/// Why a document cannot be brought up to date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("markers <!-- {0} --> and <!-- /{0} --> are not both in the document, in this order")]
pub struct MissingMarkers(pub &'static str);

/// A CRD as the YAML document that is checked in under `crds/`.
pub fn crd_yaml(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser::Error> {
    // Long lines are not folded: a folded pattern or rule can be neither searched for nor copied.
    let unfolded = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    let yaml = serde_saphyr::to_string_with_options(crd, unfolded)?;
    Ok(format!("{}\n", yaml.trim_end()))
}

/// Every document that holds generated parts.
pub fn documents() -> Vec<Document> {
    let [cluster, tenant, process, worker, backup] = crate::crds();
    let common = Section { name: "reasons", content: reason_table(CommonReason::ALL) };
    vec![
        Document { path: "conditions.md".to_owned(), sections: vec![common] },
        spec_document::<ClusterReason>(&cluster),
        spec_document::<TenantReason>(&tenant),
        spec_document::<ProcessReason>(&process),
        spec_document::<WorkerReason>(&worker),
        spec_document::<BackupReason>(&backup),
    ]
}

impl Document {
    /// The document with its generated parts replaced.
    pub fn update(&self, text: &str) -> Result<String, MissingMarkers> {
        let mut text = text.to_owned();
        for Section { name, content } in &self.sections {
            let (open, close) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
            let start = text.find(&open).map(|at| at + open.len());
            let end = text.find(&close);
            match (start, end) {
                (Some(start), Some(end)) if start <= end => {
                    text.replace_range(start..end, &format!("\n{content}"));
                }
                _ => return Err(MissingMarkers(name)),
            }
        }
        Ok(text)
    }
}

fn spec_document<R: Reason>(crd: &CustomResourceDefinition) -> Document {
    let root = crd
        .spec
        .versions
        .first()
        .and_then(|version| version.schema.as_ref()?.open_api_v3_schema.clone())
        .unwrap_or_default();
    let own: Vec<R> = R::ALL
        .iter()
        .copied()
        .filter(|reason| CommonReason::ALL.iter().all(|common| common.as_str() != reason.as_str()))
        .collect();
    Document {
        path: format!("spec/{}.md", crd.spec.names.singular.clone().unwrap_or_default()),
        sections: vec![
            Section { name: "spec", content: field_table(&root, "spec") },
            Section { name: "status", content: field_table(&root, "status") },
            Section { name: "rules", content: rule_list(&root) },
            Section { name: "reasons", content: reason_table(&own) },
        ],
    }
}

fn reason_table<R: Reason>(reasons: &[R]) -> String {
    let mut table =
        String::from("| Reason | Event type | What it means | What you do |\n|---|---|---|---|\n");
    for reason in reasons {
        let _ = writeln!(
            table,
            "| `{reason:?}` | {} | {} | {} |",
            reason.severity().as_str(),
            cell(reason.meaning()),
            cell(reason.remedy())
        );
    }
    table
}

fn field_table(root: &JSONSchemaProps, part: &str) -> String {
    let mut table = String::from("| Field | Value | What it is |\n|---|---|---|\n");
    if let Some(schema) =
        root.properties.iter().flatten().find(|(name, _)| *name == part).map(|(_, part)| part)
    {
        field_rows(&mut table, part, schema);
    }
    table
}

fn field_rows(table: &mut String, path: &str, schema: &JSONSchemaProps) {
    let required = schema.required.as_deref().unwrap_or_default();
    for (name, field) in schema.properties.iter().flatten() {
        // The fields of Kubernetes' own types have no descriptions here: Kubernetes documents them.
        let Some(description) = &field.description else { continue };
        let path = format!("{path}.{name}");
        let need = if required.contains(name) { ", required" } else { "" };
        let _ = writeln!(table, "| `{path}` | {}{need} | {} |", value_words(field), cell(description));
        field_rows(table, &path, field);
        if let Some(JSONSchemaPropsOrArray::Schema(item)) = &field.items {
            field_rows(table, &format!("{path}[]"), item);
        }
    }
}

fn value_words(schema: &JSONSchemaProps) -> String {
    let mut words = base_words(schema);
    if let Some(default) = &schema.default {
        let _ = write!(words, ", default `{}`", default.0);
    }
    words
}

fn base_words(schema: &JSONSchemaProps) -> String {
    if let Some(choices) = &schema.enum_ {
        return choices
            .iter()
            .map(|choice| format!("`{}`", choice.0.as_str().unwrap_or("?")))
            .collect::<Vec<_>>()
            .join(", ");
    }
    if schema.x_kubernetes_int_or_string == Some(true) {
        return grammar::words(grammar::QUANTITY).unwrap_or_default().to_owned();
    }
    match schema.type_.as_deref() {
        Some("string") => string_words(schema),
        Some("array") => {
            let item = match &schema.items {
                Some(JSONSchemaPropsOrArray::Schema(item)) => value_words(item),
                _ => String::new(),
            };
            format!("list, {}, of: {item}", range_words(schema.min_items, schema.max_items, "items"))
        }
        Some("object") => match &schema.additional_properties {
            Some(JSONSchemaPropsOrBool::Schema(any)) => {
                let entries = range_words(None, schema.max_properties, "entries");
                format!("map, {entries}, of: {}", value_words(any))
            }
            _ => "object".to_owned(),
        },
        Some(number @ ("integer" | "number")) => {
            format!("{number}{}", number_words(schema.minimum, schema.maximum))
        }
        other => other.unwrap_or_default().to_owned(),
    }
}

fn string_words(schema: &JSONSchemaProps) -> String {
    if schema.format.as_deref() == Some("date-time") {
        return "time".to_owned();
    }
    let what = schema.pattern.as_deref().and_then(grammar::words).unwrap_or("text");
    let length = range_words(schema.min_length.filter(|min| *min > 1), schema.max_length, "characters");
    format!("{}; {length}", cell(what))
}

fn range_words(min: Option<i64>, max: Option<i64>, what: &str) -> String {
    match (min, max) {
        (Some(min), Some(max)) if min > 0 => format!("{min} to {max} {what}"),
        (_, Some(max)) => format!("at most {max} {what}"),
        (Some(min), None) => format!("at least {min} {what}"),
        (None, None) => format!("any number of {what}"),
    }
}

fn number_words(min: Option<f64>, max: Option<f64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!(", {min} to {max}"),
        (Some(min), None) => format!(", {min} or more"),
        (None, Some(max)) => format!(", at most {max}"),
        (None, None) => String::new(),
    }
}

fn rule_list(root: &JSONSchemaProps) -> String {
    let mut messages = Vec::new();
    collect_messages(root, &mut messages);
    messages.iter().fold(String::new(), |mut list, message| {
        let _ = writeln!(list, "- {message}");
        list
    })
}

fn collect_messages(schema: &JSONSchemaProps, messages: &mut Vec<String>) {
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        messages.extend(rule.message.clone());
    }
    for field in schema.properties.iter().flatten().map(|(_, field)| field) {
        collect_messages(field, messages);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
        collect_messages(item, messages);
    }
}

/// One line without the character that ends a table cell.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests;
