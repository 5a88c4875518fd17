//! Properties that every schema must have.

use api_types::grammar;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

fn root(crd: &CustomResourceDefinition) -> &JSONSchemaProps {
    crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap()
}

/// Calls `visit` with every schema and its path.
fn walk(path: &str, schema: &JSONSchemaProps, visit: &mut impl FnMut(&str, &JSONSchemaProps)) {
    visit(path, schema);
    for (name, property) in schema.properties.iter().flatten() {
        walk(&format!("{path}.{name}"), property, visit);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
        walk(&format!("{path}[]"), item, visit);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(any)) = &schema.additional_properties {
        walk(&format!("{path}{{}}"), any, visit);
    }
}

fn walk_all(mut visit: impl FnMut(&str, &JSONSchemaProps)) {
    for crd in api_types::crds() {
        walk(&crd.spec.names.kind, root(&crd), &mut visit);
    }
}

fn unbounded(schema: &JSONSchemaProps) -> Option<&'static str> {
    if schema.x_kubernetes_int_or_string == Some(true) {
        return (schema.max_length.is_none() || schema.maximum.is_none()).then_some("maxLength and maximum");
    }
    match schema.type_.as_deref() {
        Some("string") => {
            let bounded = schema.max_length.is_some()
                || schema.enum_.is_some()
                || schema.format.as_deref() == Some("date-time");
            (!bounded).then_some("maxLength, enum or format")
        }
        Some("integer" | "number") if schema.minimum.is_none() => Some("minimum"),
        // An int64 is bounded by its type: keys and generations use its whole range.
        Some("integer") if schema.maximum.is_none() && schema.format.as_deref() != Some("int64") => {
            Some("maximum")
        }
        Some("number") if schema.maximum.is_none() => Some("maximum"),
        Some("array") if schema.max_items.is_none() => Some("maxItems"),
        Some("object") if schema.additional_properties.is_some() && schema.max_properties.is_none() => {
            Some("maxProperties")
        }
        Some("integer" | "number" | "boolean" | "array" | "object") => None,
        _ => Some("type"),
    }
}

#[test]
fn every_field_is_bounded() {
    let mut open = Vec::new();
    walk_all(|path, schema| open.extend(unbounded(schema).map(|what| format!("{path} lacks {what}"))));
    assert_eq!(open, Vec::<String>::new());
}

#[test]
fn no_field_preserves_unknown_fields() {
    walk_all(|path, schema| {
        assert_eq!(schema.x_kubernetes_preserve_unknown_fields, None, "{path}");
        assert_eq!(schema.x_kubernetes_embedded_resource, None, "{path}");
        assert!(!matches!(schema.additional_properties, Some(JSONSchemaPropsOrBool::Bool(_))), "{path}");
    });
}

#[test]
fn every_field_that_is_not_kubernetes_own_is_documented() {
    // Below these the fields are Kubernetes' own.
    let embedded = ["affinity", "tolerations", "topologySpreadConstraints", "behavior"];
    walk_all(|path, schema| {
        let is_kubernetes_own = embedded
            .iter()
            .any(|name| path.contains(&format!(".{name}.")) || path.contains(&format!(".{name}[")));
        let unnamed = path.ends_with("[]") || path.ends_with("{}");
        if !is_kubernetes_own && !unnamed && path.ends_with(|end: char| end.is_ascii_alphanumeric()) {
            let documented = schema.description.as_ref().is_some_and(|text| !text.is_empty());
            assert!(documented || !path.contains('.') || path.matches('.').count() == 1, "{path}");
        }
    });
}

/// A default adds a field that was left out. A field that may be written as null must have none.
#[test]
fn only_absent_fields_are_defaulted() {
    let mut defaults = Vec::new();
    walk_all(|path, schema| {
        if let Some(default) = &schema.default {
            // Nobody can write null into a status: it is a subresource.
            let is_status = path.ends_with(".status");
            assert!(is_status || schema.nullable.is_none(), "{path}");
            if !is_status {
                defaults.push(format!("{path} = {}", default.0));
            }
        }
    });
    assert_eq!(
        defaults,
        [
            "WorkflowCluster.spec.replicas = 1",
            "WorkflowCluster.status.acceptsDeployments = false",
            "WorkflowCluster.status.ready = false",
            "WorkflowCluster.status.stalled = false",
            "WorkflowTenant.status.ready = false",
            "WorkflowProcess.status.ready = false",
            "WorkflowWorker.spec.replicas = 1",
            "WorkflowWorker.status.ready = false",
            "WorkflowBackup.status.ready = false",
        ]
    );
}

#[test]
fn conditions_are_merged_by_type() {
    for crd in api_types::crds() {
        let status = &root(&crd).properties.as_ref().unwrap()["status"];
        let conditions = &status.properties.as_ref().unwrap()["conditions"];
        assert_eq!(conditions.x_kubernetes_list_type.as_deref(), Some("map"));
        assert_eq!(conditions.x_kubernetes_list_map_keys, Some(vec!["type".to_owned()]));
    }
}

#[test]
fn every_crd_fits_in_the_annotation_of_a_client_side_apply() {
    for crd in api_types::crds() {
        let size = serde_json::to_vec(&crd).unwrap().len();
        assert!(size < 200_000, "{}: {size} bytes", crd.spec.names.kind);
    }
}

/// The whole list, so that no rule is removed or changed unnoticed.
#[test]
fn every_rule_is_in_this_list() {
    let mut rules = Vec::new();
    walk_all(|path, schema| {
        for rule in schema.x_kubernetes_validations.iter().flatten() {
            assert!(
                rule.message.as_ref().is_some_and(|message| !message.is_empty()),
                "{path}: {}",
                rule.rule
            );
            rules.push(format!("{path}: {}", rule.rule));
        }
    });
    insta::assert_yaml_snapshot!(rules);
}

#[test]
fn kubectl_get_has_these_columns() {
    let columns: Vec<String> = api_types::crds()
        .iter()
        .map(|crd| {
            let names = &crd.spec.names;
            let columns = crd.spec.versions[0].additional_printer_columns.iter().flatten();
            let columns: Vec<String> = columns
                .map(|column| {
                    let wide = if column.priority.unwrap_or(0) > 0 { " (wide)" } else { "" };
                    format!("{}{wide}", column.name)
                })
                .collect();
            let short = names.short_names.clone().unwrap_or_default().join(",");
            format!("{short} {:?}: {}", names.categories.clone().unwrap_or_default(), columns.join(", "))
        })
        .collect();
    assert_eq!(
        columns,
        [
            r#"wfc ["workflow"]: Phase, Ready, Version, Replicas, Upgrade, Step, Message (wide), Age"#,
            r#"wft ["workflow"]: Phase, Ready, Instances, Message (wide), Age"#,
            r#"wfp ["workflow"]: Phase, Ready, Version, Tag (wide), Revision (wide), Key (wide), Incidents (wide), Message (wide), Age"#,
            r#"wfw ["workflow"]: Phase, Ready, Replicas, Lag-Seconds, Message (wide), Age"#,
            "wfb [\"workflow\"]: Phase, Ready, Cluster, Version, Size, Completed, Message (wide), Age",
        ]
    );
}

/// Otherwise the check of stored objects would skip the pattern, or show users a regular expression.
#[test]
fn every_pattern_compiles_and_has_words() {
    walk_all(|path, schema| {
        let Some(pattern) = &schema.pattern else { return };
        regex::Regex::new(pattern).unwrap_or_else(|error| panic!("{path}: {error}"));
        let reported_by_kubernetes = path.contains(".conditions[]");
        assert!(reported_by_kubernetes || grammar::words(pattern).is_some(), "{path}: {pattern}");
    });
}

#[test]
fn rule_about_keys_is_the_grammar_of_label_keys() {
    let mut rules = 0;
    walk_all(|path, schema| {
        for rule in
            schema.x_kubernetes_validations.iter().flatten().filter(|rule| rule.rule.contains("key.matches"))
        {
            let length = format!("key.size() <= {} ", grammar::LABEL_KEY_MAX);
            assert!(
                rule.rule.contains(grammar::LABEL_KEY) && rule.rule.contains(&length),
                "{path}: {}",
                rule.rule
            );
            rules += 1;
        }
    });
    assert_eq!(
        rules, 13,
        "requests, limits, nodeSelector, podLabels and podAnnotations of two kinds, requests and limits of Postgres, serviceAnnotations"
    );
}
