//! The checked-in files are what `just gen` makes of the types.

use std::fs;
use std::path::PathBuf;

use api_types::render;

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn checked_in_crds_are_the_generated_ones() {
    let mut generated = Vec::new();
    for crd in api_types::crds() {
        let name = format!("{}.yaml", crd.spec.names.plural);
        let checked_in = fs::read_to_string(workspace().join("crds").join(&name)).unwrap();
        let yaml = render::crd_yaml(&crd).unwrap();
        assert!(checked_in == yaml, "crds/{name} is out of date: run `just gen`");
        generated.push(name);
    }
    let mut present: Vec<String> = fs::read_dir(workspace().join("crds"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    present.sort();
    generated.sort();
    assert_eq!(present, generated);
}

#[test]
fn checked_in_documents_hold_the_generated_tables() {
    for document in render::documents() {
        let text = fs::read_to_string(workspace().join("docs").join(&document.path)).unwrap();
        assert!(
            document.update(&text).as_deref() == Ok(&text),
            "docs/{} is out of date: run `just gen`",
            document.path
        );
    }
}

#[test]
fn generated_yaml_reads_back_as_the_same_crd() {
    for crd in api_types::crds() {
        let read: serde_json::Value = serde_saphyr::from_str(&render::crd_yaml(&crd).unwrap()).unwrap();
        let read: k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition =
            serde_json::from_value(read).unwrap();
        assert_eq!(read, crd);
    }
}
