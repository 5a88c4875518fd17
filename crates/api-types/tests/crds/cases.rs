//! The cases of `testdata/cases.yaml`.

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) kind: String,
    #[serde(default)]
    set: Value,
    fill: Option<Fill>,
    update: Option<Value>,
    pub(crate) refused: Option<Refusal>,
    #[serde(default)]
    pub(crate) stored: bool,
    pub(crate) only: Option<Side>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fill {
    at: String,
    text: String,
    count: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusal {
    pub(crate) path: String,
    pub(crate) message: Option<String>,
    /// How the apiserver spells the path, where it differs.
    pub(crate) apiserver: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Code,
}

impl Case {
    /// The object to create.
    pub(crate) fn created(&self) -> Value {
        let mut object = fixture(&format!("minimal/{}.yaml", self.kind));
        merge(&mut object, &self.set);
        if let Some(Fill { at, text, count }) = &self.fill {
            let (parent, key) = at.rsplit_once('/').unwrap();
            let parent = object.pointer_mut(parent).unwrap();
            let filled = Value::from(text.repeat(*count));
            match key.parse::<usize>() {
                Ok(index) => parent[index] = filled,
                Err(_) => parent[key] = filled,
            }
        }
        object
    }

    /// The created object after its update.
    pub(crate) fn updated(&self) -> Option<Value> {
        let update = self.update.as_ref()?;
        let mut object = self.created();
        merge(&mut object, update);
        Some(object)
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let text = fs::read_to_string(testdata("cases.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

pub(crate) fn fixture(path: &str) -> Value {
    let text = fs::read_to_string(testdata(path)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// The manifests of the first design, by file name.
pub(crate) fn seeds() -> Vec<(String, Value)> {
    let mut names: Vec<String> = fs::read_dir(testdata("seeds"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 7, "every seed has its fixture: {names:?}");
    names.into_iter().map(|name| (name.clone(), fixture(&format!("seeds/{name}")))).collect()
}

/// The first place where `whole` does not contain `part`, as `path: part != whole`.
pub(crate) fn missing(part: &Value, whole: &Value, path: &str) -> Option<String> {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => part.iter().find_map(|(key, value)| {
            missing(value, whole.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"))
        }),
        (Value::Array(part), Value::Array(whole)) if part.len() == whole.len() => part
            .iter()
            .zip(whole)
            .enumerate()
            .find_map(|(index, (part, whole))| missing(part, whole, &format!("{path}[{index}]"))),
        _ => (part != whole).then(|| format!("{path}: {part} != {whole}")),
    }
}

fn testdata(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(path)
}

/// JSON merge patch, RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    match patch {
        Value::Null => {}
        Value::Object(patch) => {
            if !target.is_object() {
                *target = Value::Object(serde_json::Map::new());
            }
            let members = target.as_object_mut().unwrap();
            for (key, value) in patch {
                if value.is_null() {
                    members.remove(key);
                } else {
                    merge(members.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        other => *target = other.clone(),
    }
}
