//! The service plan as it is written.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

use super::check;

/// The service plan of this repository.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/omnistrate/service-plan.yaml");

/// A service plan.
#[derive(Clone, Debug, Deserialize)]
pub struct ServicePlan {
    /// Its name.
    pub name: String,
    /// What it consists of.
    pub services: Vec<Service>,
}

/// One service of a plan.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What a customer may choose.
    pub api_parameters: Vec<ApiParameter>,
    /// What it needs in the Kubernetes cluster.
    #[serde(rename = "operatorCRDConfiguration")]
    pub operator: OperatorConfiguration,
    /// Where it is reached.
    pub endpoint_configuration: BTreeMap<String, EndpointConfiguration>,
    /// What the platform does with it.
    pub capabilities: Value,
    /// What happens in its life.
    pub system_workflows: BTreeMap<Verb, SystemWorkflow>,
}

/// A value that a customer chooses.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiParameter {
    /// By which workflows name it.
    pub key: String,
    /// What it is unless the customer says something else.
    pub default_value: Option<String>,
}

/// What is installed before a workflow runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorConfiguration {
    /// Charts.
    pub helm_chart_dependencies: Vec<HelmChart>,
}

/// A chart.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HelmChart {
    /// Its name.
    pub chart_name: String,
}

/// An address that the platform shows to the customer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointConfiguration {
    /// DNS name.
    pub host: String,
    /// Ports.
    pub ports: Vec<u16>,
}

/// What begins a workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// A new instance.
    Create,
    /// Other parameters.
    Modify,
    /// The end of an instance.
    Delete,
    /// The instance shall run again.
    Start,
    /// The instance shall cost nothing for a while.
    Stop,
    /// More of it.
    AddCapacity,
    /// Less of it.
    RemoveCapacity,
    /// A snapshot.
    Backup,
    /// A new instance from a snapshot.
    Restore,
    /// The end of a snapshot.
    DeleteBackup,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A workflow and what it hands to the platform.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SystemWorkflow {
    /// By name, `$tasks.<task>.resource.<path>`.
    #[serde(default)]
    pub output_parameters: BTreeMap<String, String>,
    /// The workflow.
    pub workflow: Workflow,
}

/// A workflow, as Argo Workflows has them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    /// The template that it begins with.
    pub entrypoint: String,
    /// Values for that template.
    pub arguments: Arguments,
    /// Its tasks, and what each does.
    pub templates: Vec<Template>,
}

/// Values for a template.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    /// One each.
    pub parameters: Vec<Argument>,
}

/// A value for a template.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argument {
    /// Name of the input.
    pub name: String,
    /// The value, or an expression.
    pub value: String,
}

/// Inputs of a template.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    /// One each.
    pub parameters: Vec<Input>,
}

/// An input of a template.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its name.
    pub name: String,
}

/// Either tasks or one write.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// What it needs.
    #[serde(default)]
    pub inputs: Inputs,
    /// Tasks that depend on each other.
    pub dag: Option<Dag>,
    /// One write.
    pub resource: Option<ResourceTemplate>,
}

/// Tasks that depend on each other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dag {
    /// In any order.
    pub tasks: Vec<Task>,
}

/// A use of a template.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// The template.
    pub template: String,
    /// Tasks that must be done before.
    #[serde(default)]
    pub dependencies: Vec<String>,
    /// Values for the template.
    #[serde(default)]
    pub arguments: Arguments,
}

/// One write of one object.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceTemplate {
    /// What is done.
    pub action: Action,
    /// How a patch is merged.
    pub merge_strategy: Option<MergeStrategy>,
    /// When it is done; at once when left out.
    pub success_condition: Option<String>,
    /// When it never will be.
    pub failure_condition: Option<String>,
    /// The object.
    pub manifest: String,
}

/// What is done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It shall be like this.
    Apply,
    /// These fields of it shall be like this.
    Patch,
    /// It shall be gone.
    Delete,
}

/// How a patch is merged. Custom resources know no strategic merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MergeStrategy {
    /// As RFC 7396 says.
    Merge,
}

impl ServicePlan {
    /// The one of this repository.
    pub fn of_repository() -> anyhow::Result<Self> {
        Self::parse(&std::fs::read_to_string(FILE).with_context(|| format!("reading {FILE}"))?)
    }

    /// Reads a plan, and refuses one with a workflow that could not run.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let plan: Self = serde_saphyr::from_str(text).context("reading the service plan")?;
        let problems = check::problems(&plan);
        anyhow::ensure!(problems.is_empty(), "the service plan cannot run:\n{}", problems.join("\n"));
        Ok(plan)
    }

    /// The service that has workflows.
    pub fn service(&self) -> anyhow::Result<&Service> {
        self.services.first().context("the plan has no service")
    }

    /// What happens at `verb`.
    pub fn workflow(&self, verb: Verb) -> anyhow::Result<&SystemWorkflow> {
        let found = self.service()?.system_workflows.get(&verb);
        found.with_context(|| format!("the plan has no workflow {verb}"))
    }
}

impl Workflow {
    /// A template by its name.
    #[must_use]
    pub fn template(&self, name: &str) -> Option<&Template> {
        self.templates.iter().find(|template| template.name == name)
    }
}

impl Template {
    /// Whether it has this input.
    #[must_use]
    pub fn takes(&self, input: &str) -> bool {
        self.inputs.parameters.iter().any(|parameter| parameter.name == input)
    }
}
