use rstest::rstest;

use super::super::plan::ServicePlan;
use super::*;

/// A workflow with one gated task, as part of a plan.
const PLAN: &str = r#"
name: Test
services:
  - name: Test
    apiParameters: []
    operatorCRDConfiguration: { helmChartDependencies: [] }
    endpointConfiguration: {}
    capabilities: {}
    systemWorkflows:
      create:
        outputParameters:
          phase: $tasks.apply.resource.status.phase
        workflow:
          entrypoint: create
          arguments: { parameters: [{ name: namespace, value: "{{ $sys.namespace }}" }] }
          templates:
            - name: create
              inputs: { parameters: [{ name: namespace }] }
              dag:
                tasks:
                  - name: apply
                    template: apply-it
                    arguments: { parameters: [{ name: namespace, value: "{{inputs.parameters.namespace}}" }] }
            - name: apply-it
              inputs: { parameters: [{ name: namespace }] }
              resource:
                action: apply
                successCondition: status.phase == Running
                manifest: |
                  metadata: { namespace: "{{inputs.parameters.namespace}}" }
"#;

#[test]
fn a_plan_that_can_run_is_taken() {
    ServicePlan::parse(PLAN).unwrap();
}

#[rstest]
#[case::query_of_a_list(
    "status.phase == Running",
    r#"status.conditions.#(type=="Ready").status == True"#,
    "no queries of lists"
)]
#[case::word_with_a_dot("status.phase == Running", "status.version == 1.3.0", "a word with a dot")]
#[case::output_without_a_gate(
    "                successCondition: status.phase == Running\n",
    "",
    "its object is not kept"
)]
#[case::output_of_a_list(
    "resource.status.phase",
    "resource.status.conditions[0].status",
    "is no dotted path"
)]
#[case::output_of_no_task("$tasks.apply.", "$tasks.other.", "there is no task other")]
#[case::unknown_template("template: apply-it", "template: other", "other is no template with a resource")]
#[case::input_that_nobody_gives(
    "arguments: { parameters: [{ name: namespace, value: \"{{inputs",
    "arguments: { parameters: [{ name: other, value: \"{{inputs",
    "apply-it gets no namespace"
)]
#[case::value_that_nobody_takes(
    "[{ name: namespace, value: \"{{ $sys",
    "[{ name: extra, value: \"x\" }, { name: namespace, value: \"{{ $sys",
    "create takes no extra"
)]
#[case::undeclared_input(
    "namespace: \"{{inputs.parameters.namespace}}\" }\n",
    "namespace: \"{{inputs.parameters.region}}\" }\n",
    "input region is used and not declared"
)]
#[case::no_entrypoint(
    "entrypoint: create",
    "entrypoint: begin",
    "entrypoint begin is no template with a dag"
)]
#[case::unknown_dependency(
    "template: apply-it\n",
    "template: apply-it\n                    dependencies: [other]\n",
    "depends on other, which is no task"
)]
#[case::circle(
    "template: apply-it\n",
    "template: apply-it\n                    dependencies: [apply]\n",
    "these tasks wait for each other: apply"
)]
#[case::patch_without_a_strategy("action: apply", "action: patch", "mergeStrategy is needed for patch")]
#[case::deletion_with_a_condition("action: apply", "action: delete", "what is deleted has no condition")]
#[case::two_documents("manifest: |\n", "manifest: |\n                  ---\n", "more than one document")]
#[case::backups_without_workflows(
    "capabilities: {}",
    "capabilities: { backupConfiguration: {} }",
    "needs the workflow DeleteBackup"
)]
#[case::misspelt_field("successCondition: ", "succesCondition: ", "succesCondition")]
fn a_plan_that_would_stop_half_way_is_refused(
    #[case] part: &str,
    #[case] other: &str,
    #[case] expected: &str,
) {
    assert!(PLAN.contains(part), "{part}");
    let why = format!("{:#}", ServicePlan::parse(&PLAN.replace(part, other)).unwrap_err());
    assert!(why.contains(expected), "{why}");
}

/// `task: dependency dependency`, each.
fn dag(tasks: &[&str]) -> Dag {
    let task = |text: &&str| {
        let (name, dependencies) = text.split_once(':').unwrap_or((text, ""));
        Task {
            name: name.to_owned(),
            template: "t".to_owned(),
            dependencies: dependencies.split_whitespace().map(str::to_owned).collect(),
            arguments: Arguments::default(),
        }
    };
    Dag { tasks: tasks.iter().map(task).collect() }
}

#[rstest]
#[case::as_written(&["a", "b"], &["a", "b"])]
#[case::the_other_way_round(&["c: b", "b: a", "a"], &["a", "b", "c"])]
#[case::two_ways(&["d: b c", "b: a", "c: a", "a"], &["a", "b", "c", "d"])]
fn tasks_follow_those_that_they_depend_on(#[case] tasks: &[&str], #[case] expected: &[&str]) {
    let dag = dag(tasks);
    let ordered: Vec<_> = order(&dag).unwrap().iter().map(|task| task.name.as_str()).collect();
    assert_eq!(ordered, expected);
}

#[test]
fn tasks_that_wait_for_each_other_are_named() {
    let why = order(&dag(&["a", "b: c", "c: b"])).unwrap_err();
    assert_eq!(why, "these tasks wait for each other: b, c");
    assert_eq!(order(&dag(&["a", "a"])).unwrap_err(), "two tasks have one name");
}
