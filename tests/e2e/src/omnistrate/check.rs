//! What a plan must not have, because the platform would stop or wait for ever in the middle of a workflow.

use std::collections::{BTreeMap, BTreeSet};

use super::condition::Condition;
use super::plan::{Action, Arguments, Dag, ServicePlan, SystemWorkflow, Task, Template, Verb, Workflow};
use super::render::{Values, inputs_of, render_inputs};

/// Stands for a value where only the shape of a text matters: a number is good for every input.
const ANY: &str = "1";

/// All of them, each with the workflow and the template.
pub(super) fn problems(plan: &ServicePlan) -> Vec<String> {
    let mut problems = Vec::new();
    for service in &plan.services {
        for (verb, workflow) in &service.system_workflows {
            let found = check_workflow(workflow);
            problems.extend(found.into_iter().map(|problem| format!("{verb}: {problem}")));
        }
        let has_backups = service.capabilities.get("backupConfiguration").is_some();
        for needed in [Verb::Backup, Verb::Restore, Verb::DeleteBackup] {
            if has_backups && !service.system_workflows.contains_key(&needed) {
                problems.push(format!("backupConfiguration needs the workflow {needed}"));
            }
        }
    }
    problems
}

fn check_workflow(workflow: &SystemWorkflow) -> Vec<String> {
    let SystemWorkflow { output_parameters, workflow } = workflow;
    let mut problems: Vec<String> = workflow.templates.iter().flat_map(check_template).collect();
    let entry = workflow.template(&workflow.entrypoint);
    let Some((entry, dag)) = entry.and_then(|entry| Some((entry, entry.dag.as_ref()?))) else {
        problems.push(format!("entrypoint {} is no template with a dag", workflow.entrypoint));
        return problems;
    };
    problems.extend(check_arguments("arguments", &workflow.arguments, entry));
    problems.extend(dag.tasks.iter().flat_map(|task| check_task(task, entry, workflow)));
    problems.extend(order(dag).err());
    for (name, source) in output_parameters {
        if let Err(problem) = check_output(source, dag, workflow) {
            problems.push(format!("output {name}: {problem}"));
        }
    }
    problems
}

fn check_template(template: &Template) -> Vec<String> {
    let mut problems = Vec::new();
    let mut report = |problem: String| problems.push(format!("template {}: {problem}", template.name));
    if template.dag.is_some() == template.resource.is_some() {
        report("expected exactly one of dag and resource".to_owned());
    }
    let Some(resource) = &template.resource else { return problems };
    if (resource.action == Action::Patch) != resource.merge_strategy.is_some() {
        report("mergeStrategy is needed for patch, and only there".to_owned());
    }
    let conditions = [&resource.success_condition, &resource.failure_condition].into_iter().flatten();
    if resource.action == Action::Delete && conditions.clone().count() > 0 {
        report("what is deleted has no condition".to_owned());
    }
    let texts = conditions.clone().chain([&resource.manifest]);
    for text in texts {
        match inputs_of(text) {
            Ok(used) => {
                for name in used.iter().filter(|name| !template.takes(name)) {
                    report(format!("input {name} is used and not declared"));
                }
            }
            Err(error) => report(format!("{error:#}")),
        }
    }
    let inputs: Values = template.inputs.parameters.iter().map(|input| (&input.name, ANY)).collect();
    for condition in conditions {
        let parsed = render_inputs(condition, &inputs).and_then(|text| Condition::parse(&text));
        if let Err(error) = parsed {
            report(format!("{error:#}"));
        }
    }
    let documents = resource.manifest.lines().filter(|line| line.trim_end() == "---").count();
    if documents > 0 {
        report("the manifest has more than one document".to_owned());
    }
    problems
}

fn check_task(task: &Task, entry: &Template, workflow: &Workflow) -> Vec<String> {
    let report = |problem: String| format!("task {}: {problem}", task.name);
    let Some(template) = workflow.template(&task.template).filter(|template| template.resource.is_some())
    else {
        return vec![report(format!("{} is no template with a resource", task.template))];
    };
    let mut problems = check_arguments("arguments", &task.arguments, template);
    for argument in &task.arguments.parameters {
        match inputs_of(&argument.value) {
            Ok(used) => problems.extend(
                used.iter()
                    .filter(|name| !entry.takes(name))
                    .map(|name| format!("input {name} is used and not declared")),
            ),
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    problems.into_iter().map(report).collect()
}

/// Each input gets a value, and no value is for nothing.
fn check_arguments(what: &str, arguments: &Arguments, template: &Template) -> Vec<String> {
    let given: BTreeSet<&str> = arguments.parameters.iter().map(|given| given.name.as_str()).collect();
    let taken: BTreeSet<&str> = template.inputs.parameters.iter().map(|input| input.name.as_str()).collect();
    let name = &template.name;
    let missing = taken.difference(&given).map(|input| format!("{what}: {name} gets no {input}"));
    let unknown = given.difference(&taken).map(|input| format!("{what}: {name} takes no {input}"));
    missing.chain(unknown).collect()
}

/// Task and path of `$tasks.<task>.resource.<path>`.
pub(super) fn parse_output(source: &str) -> Option<(&str, &str)> {
    source.strip_prefix("$tasks.")?.split_once(".resource.")
}

/// The object is only kept of a task that waits for it.
fn check_output(source: &str, dag: &Dag, workflow: &Workflow) -> Result<(), String> {
    let (task, path) = parse_output(source).ok_or("expected $tasks.<task>.resource.<path>")?;
    if path.contains(['[', '#', '(']) {
        return Err(format!("{path} is no dotted path"));
    }
    let task = dag.tasks.iter().find(|known| known.name == task).ok_or(format!("there is no task {task}"))?;
    let template = workflow.template(&task.template).and_then(|template| template.resource.as_ref());
    match template.and_then(|resource| resource.success_condition.as_ref()) {
        Some(_) => Ok(()),
        None => Err(format!("task {} has no successCondition, so its object is not kept", task.name)),
    }
}

/// The tasks, each after those that it depends on.
pub(super) fn order(dag: &Dag) -> Result<Vec<&Task>, String> {
    let known: BTreeMap<&str, &Task> = dag.tasks.iter().map(|task| (task.name.as_str(), task)).collect();
    if known.len() != dag.tasks.len() {
        return Err("two tasks have one name".to_owned());
    }
    for task in &dag.tasks {
        if let Some(unknown) = task.dependencies.iter().find(|name| !known.contains_key(name.as_str())) {
            return Err(format!("task {} depends on {unknown}, which is no task", task.name));
        }
    }
    let (mut ordered, mut done) = (Vec::new(), BTreeSet::new());
    while ordered.len() < dag.tasks.len() {
        let is_ready = |task: &&Task| {
            !done.contains(task.name.as_str())
                && task.dependencies.iter().all(|name| done.contains(name.as_str()))
        };
        let ready: Vec<&Task> = dag.tasks.iter().filter(is_ready).collect();
        if ready.is_empty() {
            let waiting = dag.tasks.iter().map(|task| task.name.as_str());
            let waiting: Vec<_> = waiting.filter(|name| !done.contains(name)).collect();
            return Err(format!("these tasks wait for each other: {}", waiting.join(", ")));
        }
        done.extend(ready.iter().map(|task| task.name.as_str()));
        ordered.extend(ready);
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests;
