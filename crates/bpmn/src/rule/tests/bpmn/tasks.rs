use super::super::Case;
use super::super::Source::Process;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a service task has exactly one complete task definition",
        source: Process(
            r#"<startEvent id="S"/><serviceTask id="A"/>
               <serviceTask id="B"><extensionElements><wf:taskDefinition type="t"/><wf:taskDefinition type="t"/></extensionElements></serviceTask>
               <serviceTask id="C"><extensionElements><wf:taskDefinition type="" retries=""/></extensionElements></serviceTask>"#,
        ),
        expected: &[
            "missing-task-definition A",
            "missing-task-definition B",
            "empty-attribute C",
            "empty-attribute C",
        ],
    },
    Case {
        name: "the extension namespace of the common modelling tools is supported",
        source: Process(
            r#"<startEvent id="S"/><serviceTask id="A"><extensionElements>
               <taskDefinition xmlns="http://camunda.org/schema/zeebe/1.0" type="t"/></extensionElements></serviceTask>"#,
        ),
        expected: &[],
    },
    Case {
        name: "scripts, rules and messages have one implementation",
        source: Process(
            r#"<startEvent id="S"/><scriptTask id="A"/><businessRuleTask id="B"/><sendTask id="C"/>
               <intermediateThrowEvent id="D"><messageEventDefinition/></intermediateThrowEvent>
               <sendTask id="E"><extensionElements><wf:publishMessage correlationKey="=key"/></extensionElements></sendTask>"#,
        ),
        expected: &[
            "missing-implementation A",
            "missing-implementation B",
            "missing-implementation C",
            "missing-implementation D",
            "message-reference E",
        ],
    },
    Case {
        name: "a call activity has a called element",
        source: Process(
            r#"<startEvent id="S"/><callActivity id="A"/>
               <callActivity id="B"><extensionElements><wf:calledElement processId="Q" bindingType="versionTag"/></extensionElements></callActivity>"#,
        ),
        expected: &["missing-called-element A", "empty-attribute B"],
    },
    Case {
        name: "a multi-instance activity has loop characteristics",
        source: Process(
            r#"<startEvent id="S"/><userTask id="A"><multiInstanceLoopCharacteristics/></userTask>
               <userTask id="B"><multiInstanceLoopCharacteristics><extensionElements>
                 <wf:loopCharacteristics inputCollection="=items" outputElement="=item"/></extensionElements></multiInstanceLoopCharacteristics></userTask>"#,
        ),
        expected: &["missing-loop-characteristics A", "loop-output B"],
    },
    Case {
        name: "header keys are unique and not reserved",
        source: Process(
            r#"<startEvent id="S"/><serviceTask id="A"><extensionElements><wf:taskDefinition type="t"/><wf:taskHeaders>
                 <wf:header key="a" value="1"/><wf:header key="a" value="2"/><wf:header key="io.camunda.zeebe:x" value="3"/>
                 <wf:header value="4"/><wf:header key="b"/></wf:taskHeaders></extensionElements></serviceTask>"#,
        ),
        expected: &["task-header A", "task-header A", "task-header A", "task-header A"],
    },
    Case {
        name: "forms, schedules and candidates of a user task",
        source: Process(
            r#"<startEvent id="S"/><userTask id="A"><extensionElements><wf:formDefinition formKey="k" formId="i"/>
                 <wf:taskSchedule dueDate="tomorrow" followUpDate="2026-11-22T10:15:30Z"/>
                 <wf:assignmentDefinition candidateGroups="a,,b"/><wf:priorityDefinition priority="101"/>
               </extensionElements></userTask>"#,
        ),
        expected: &["form-definition A", "user-task-value A", "user-task-value A", "user-task-value A"],
    },
    Case {
        name: "execution listeners are on elements that allow them, without duplicates",
        source: Process(
            r#"<startEvent id="S"><extensionElements><wf:executionListeners><wf:executionListener eventType="start" type="t"/></wf:executionListeners></extensionElements></startEvent>
               <userTask id="A"><extensionElements><wf:executionListeners>
                 <wf:executionListener eventType="end" type="t"/><wf:executionListener eventType="end" type="t"/></wf:executionListeners></extensionElements></userTask>"#,
        ),
        expected: &["execution-listener S", "execution-listener A"],
    },
];
