//! Runs the workflows of a plan as the platform's agent in a Kubernetes cluster does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kube::api::{DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, ValidationDirective};
use kube::{Api, Client, ResourceExt as _, discovery};
use serde_json::Value;

use super::check::{order, parse_output};
use super::condition::{Condition, field};
use super::plan::{Action, Arguments, ResourceTemplate, ServicePlan, Task, Template, Verb};
use super::render::{Values, render_inputs, render_platform};
use crate::progress::{Look, Progress};

/// Who writes.
const FIELD_MANAGER: &str = "omnistrate";

/// What a workflow hands to the platform.
pub type Outputs = BTreeMap<String, String>;

/// Runs workflows of one plan in one Kubernetes cluster.
#[derive(Clone)]
pub struct Runner {
    client: Client,
    plan: ServicePlan,
    progress: Progress,
}

/// What a task does, with every value in its place.
struct Order<'a> {
    task: &'a str,
    resource: &'a ResourceTemplate,
    manifest: Value,
    success: Option<Condition>,
    failure: Option<Condition>,
}

impl Runner {
    /// For this cluster.
    #[must_use]
    pub fn new(client: Client, plan: ServicePlan, progress: Progress) -> Self {
        Self { client, plan, progress }
    }

    /// Runs the workflow of `verb`: each task begins when those are done that it depends on, and may take as long as `limit`.
    pub async fn run(&self, verb: Verb, values: &Values, limit: Duration) -> anyhow::Result<Outputs> {
        self.progress.say(&format!("workflow {verb} ..."));
        let outputs = self.walk(verb, values, limit).await.with_context(|| format!("workflow {verb}"))?;
        self.progress.say(&format!("workflow {verb}: done"));
        Ok(outputs)
    }

    /// The manifests of a workflow with their values, by task.
    pub fn manifests(&self, verb: Verb, values: &Values) -> anyhow::Result<Vec<(String, Action, Value)>> {
        let (tasks, inputs) = self.entry(verb, values)?;
        let rendered = |task: &&Task| {
            let order = self.order(verb, task, &inputs)?;
            Ok((task.name.clone(), order.resource.action, order.manifest))
        };
        tasks.iter().map(rendered).collect()
    }

    async fn walk(&self, verb: Verb, values: &Values, limit: Duration) -> anyhow::Result<Outputs> {
        let (mut waiting, inputs) = self.entry(verb, values)?;
        let (mut done, mut objects) = (BTreeSet::new(), BTreeMap::new());
        let mut running = FuturesUnordered::new();
        loop {
            let (ready, later): (Vec<_>, Vec<_>) = waiting
                .into_iter()
                .partition(|task| task.dependencies.iter().all(|name| done.contains(name.as_str())));
            waiting = later;
            for task in ready {
                let order = self.order(verb, task, &inputs)?;
                running.push(async move {
                    let object = self.execute(&order, limit).await;
                    (task.name.as_str(), object.with_context(|| format!("task {}", task.name)))
                });
            }
            let Some((task, object)) = running.next().await else { break };
            done.insert(task);
            objects.extend(object?.map(|object| (task, object)));
        }
        drop(running);
        let outputs = &self.plan.workflow(verb)?.output_parameters;
        outputs.iter().map(|(name, source)| read_output(name, source, &objects)).collect()
    }

    /// The tasks in order, and the inputs of the template that they are in.
    fn entry(&self, verb: Verb, values: &Values) -> anyhow::Result<(Vec<&Task>, Values)> {
        let workflow = &self.plan.workflow(verb)?.workflow;
        let entry = workflow.template(&workflow.entrypoint).context("there is no entrypoint")?;
        let dag = entry.dag.as_ref().context("the entrypoint has no dag")?;
        let inputs = given(&workflow.arguments, |text| render_platform(text, values))?;
        Ok((order(dag).map_err(anyhow::Error::msg)?, inputs))
    }

    fn order<'a>(&'a self, verb: Verb, task: &'a Task, outer: &Values) -> anyhow::Result<Order<'a>> {
        let workflow = &self.plan.workflow(verb)?.workflow;
        let Some(Template { resource: Some(resource), .. }) = workflow.template(&task.template) else {
            bail!("task {}: {} is no template with a resource", task.name, task.template);
        };
        let inputs = given(&task.arguments, |text| render_inputs(text, outer))?;
        let manifest = render_inputs(&resource.manifest, &inputs)?;
        // The text of a manifest may hold a secret, and so may what a parser says of it.
        let Ok(manifest) = serde_saphyr::from_str(&manifest) else {
            bail!("task {}: the manifest is no YAML with these values", task.name);
        };
        let condition = |text: &Option<String>| match text {
            Some(text) => Condition::parse(&render_inputs(text, &inputs)?).map(Some),
            None => Ok(None),
        };
        let success = condition(&resource.success_condition)?;
        let failure = condition(&resource.failure_condition)?;
        Ok(Order { task: &task.name, resource, manifest, success, failure })
    }

    /// Writes, and waits. Gives the object that was waited for.
    async fn execute(&self, order: &Order<'_>, limit: Duration) -> anyhow::Result<Option<Value>> {
        let (api, name) = self.api_of(&order.manifest).await?;
        match order.resource.action {
            Action::Apply => apply(&api, &name, &order.manifest).await?,
            Action::Patch => {
                let params = PatchParams {
                    field_manager: Some(FIELD_MANAGER.to_owned()),
                    field_validation: Some(ValidationDirective::Strict),
                    ..PatchParams::default()
                };
                api.patch(&name, &params, &Patch::Merge(&order.manifest)).await?;
            }
            Action::Delete => return self.delete(&api, &name, order, limit).await.map(|()| None),
        }
        let Some(success) = &order.success else { return Ok(None) };
        self.await_condition(&api, &name, order, success, limit).await.map(Some)
    }

    async fn delete(
        &self,
        api: &Api<DynamicObject>,
        name: &str,
        order: &Order<'_>,
        limit: Duration,
    ) -> anyhow::Result<()> {
        let uid = match api.delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) => return Err(error.into()),
            Ok(deleted) => deleted.left().and_then(|object| object.uid()),
        };
        let look = || async {
            let live = api.get_metadata_opt(name).await?;
            // An object of its name that was made since is another one.
            let is_there = live.is_some_and(|live| uid.is_none() || live.uid() == uid);
            Ok(if is_there { Look::Waiting("is there".to_owned()) } else { Look::Done("gone".to_owned()) })
        };
        self.progress.wait_for(order.task, limit, look).await.map(drop)
    }

    async fn await_condition(
        &self,
        api: &Api<DynamicObject>,
        name: &str,
        order: &Order<'_>,
        success: &Condition,
        limit: Duration,
    ) -> anyhow::Result<Value> {
        let (found, failed) = (std::cell::RefCell::new(None), std::cell::Cell::new(false));
        let look = || async {
            let live = serde_json::to_value(api.get(name).await?)?;
            if let Some(failure) = &order.failure
                && failure.holds(&live)?
            {
                failed.set(true);
                let message = field(&live, "status.message").cloned().unwrap_or_default();
                return Ok(Look::Done(format!("failed, because {failure}: {message}")));
            }
            if !success.holds(&live)? {
                return Ok(Look::Waiting(success.seen(&live)));
            }
            *found.borrow_mut() = Some(live);
            Ok(Look::Done(success.to_string()))
        };
        let words = self.progress.wait_for(order.task, limit, look).await?;
        ensure!(!failed.get(), "{words}");
        found.take().context("nothing was found")
    }

    async fn api_of(&self, manifest: &Value) -> anyhow::Result<(Api<DynamicObject>, String)> {
        let text = |path| {
            let value = field(manifest, path).and_then(Value::as_str);
            value.with_context(|| format!("the manifest has no {path}"))
        };
        let (group, version) = text("apiVersion")?.split_once('/').unwrap_or(("", text("apiVersion")?));
        let kind = GroupVersionKind::gvk(group, version, text("kind")?);
        let (resource, _) = discovery::pinned_kind(&self.client, &kind).await?;
        let namespace = text("metadata.namespace")?;
        let api = Api::namespaced_with(self.client.clone(), namespace, &resource);
        Ok((api, text("metadata.name")?.to_owned()))
    }
}

/// Applies an object. The platform does not go on before the live object has all that was applied, so what is pruned or
/// rewritten would hold the workflow for ever: it is an error here.
async fn apply(api: &Api<DynamicObject>, name: &str, manifest: &Value) -> anyhow::Result<()> {
    let params = PatchParams {
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::apply(FIELD_MANAGER).force()
    };
    let live = serde_json::to_value(api.patch(name, &params, &Patch::Apply(manifest)).await?)?;
    match missing(manifest, &live, "") {
        None => Ok(()),
        Some(path) => bail!("{path} is not as it was applied: the platform would apply it again for ever"),
    }
}

/// The first place at which `live` is not as `applied`. Lists must be the same, objects may have more.
fn missing(applied: &Value, live: &Value, at: &str) -> Option<String> {
    match (applied, live) {
        (Value::Object(applied), Value::Object(live)) => applied.iter().find_map(|(name, value)| {
            let at = format!("{at}.{name}");
            missing(value, live.get(name).unwrap_or(&Value::Null), &at)
        }),
        (Value::Array(applied), Value::Array(live)) if applied.len() == live.len() => applied
            .iter()
            .zip(live)
            .enumerate()
            .find_map(|(index, (applied, live))| missing(applied, live, &format!("{at}[{index}]"))),
        (applied, live) if applied == live => None,
        _ => Some(at.trim_start_matches('.').to_owned()),
    }
}

fn given(arguments: &Arguments, render: impl Fn(&str) -> anyhow::Result<String>) -> anyhow::Result<Values> {
    let value = |argument: &super::plan::Argument| {
        let value = render(&argument.value).with_context(|| format!("argument {}", argument.name))?;
        Ok((argument.name.clone(), value))
    };
    arguments.parameters.iter().map(value).collect()
}

fn read_output(
    name: &str,
    source: &str,
    objects: &BTreeMap<&str, Value>,
) -> anyhow::Result<(String, String)> {
    let found = parse_output(source)
        .and_then(|(task, path)| field(objects.get(task)?, path))
        .with_context(|| format!("output {name}: {source} is not there"))?;
    let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
    Ok((name.to_owned(), text))
}

#[cfg(test)]
mod tests;
