use super::*;

fn document() -> Document {
    Document {
        path: "spec/x.md".to_owned(),
        sections: vec![Section { name: "reasons", content: "| new |\n".to_owned() }],
    }
}

#[test]
fn text_outside_the_markers_stays() {
    let old = "before\n<!-- reasons -->\n| old |\n<!-- /reasons -->\nafter\n";
    let new = "before\n<!-- reasons -->\n| new |\n<!-- /reasons -->\nafter\n";
    assert_eq!(document().update(old), Ok(new.to_owned()));
    assert_eq!(document().update(new), Ok(new.to_owned()));
}

#[test]
fn document_without_markers_is_refused() {
    for text in ["", "<!-- reasons -->", "<!-- /reasons --><!-- reasons -->"] {
        assert_eq!(document().update(text), Err(MissingMarkers("reasons")), "{text}");
    }
}

#[test]
fn common_reasons_are_reported_once() {
    for document in documents().iter().filter(|document| document.path.starts_with("spec/")) {
        let reasons = document.sections.iter().find(|section| section.name == "reasons").unwrap();
        assert!(!reasons.content.contains("`KubernetesUnavailable`"), "{}", document.path);
    }
}
