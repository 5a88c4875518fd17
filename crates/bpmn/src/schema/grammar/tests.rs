use super::{BPMN20, Content, Grammar, Name};

#[test]
fn every_name_in_the_grammar_is_defined() {
    let grammar = Grammar::bpmn20();
    let heads =
        ["artifact", "rootElement", "flowElement", "conversationNode", "di:DiagramElement"].map(Name::parse);
    for (name, declared) in &grammar.types {
        for base in &declared.bases {
            assert!(grammar.complex(*base).is_some(), "{name:?} extends unknown {base:?}");
        }
        for (child, content) in declared.particles.iter().flat_map(|particle| &particle.alternatives) {
            let is_defined = match content {
                Some(Content::Complex(content)) => grammar.complex(*content).is_some(),
                Some(Content::Simple(_)) => true,
                None => grammar.element(*child).is_some() || heads.contains(child),
            };
            assert!(is_defined, "{name:?} holds unknown {child:?}");
        }
    }
    for (name, element) in &grammar.elements {
        assert!(
            matches!(element.content, Content::Complex(content) if grammar.complex(content).is_some()),
            "{name:?}"
        );
        for head in &element.heads {
            assert!(
                grammar.element(*head).is_some() || heads.contains(head),
                "{name:?} stands for unknown {head:?}"
            );
        }
    }
}

#[test]
fn no_line_of_the_grammar_is_lost() {
    let grammar = Grammar::bpmn20();
    let count = |prefix| BPMN20.lines().filter(|line| line.starts_with(prefix)).count();
    assert_eq!(grammar.types.len(), count("type "));
    assert_eq!(grammar.elements.len(), count("element "));
}

#[test]
fn types_inherit_in_order() {
    let grammar = Grammar::bpmn20();
    let task = grammar.complex(Name::parse("tServiceTask")).unwrap();
    let children: Vec<String> = task.particles.iter().map(super::Particle::noun).collect();
    assert_eq!(
        children,
        [
            "documentation",
            "extensionElements",
            "auditing",
            "monitoring",
            "categoryValueRef",
            "incoming",
            "outgoing",
            "ioSpecification",
            "property",
            "dataInputAssociation",
            "dataOutputAssociation",
            "resourceRole",
            "loopCharacteristics"
        ]
    );
    let bases: Vec<&str> = task.bases.iter().map(|base| base.local).collect();
    assert_eq!(bases, ["tTask", "tActivity", "tFlowNode", "tFlowElement", "tBaseElement"]);
    assert!(task.foreign_attributes);
}
