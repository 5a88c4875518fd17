//! Execution of a process: how the tokens of an instance move when it starts or when a job completes. No I/O, no clock.

use std::collections::{BTreeMap, VecDeque};

use bpmn::{ElementIndex, ElementKind, FlowIndex, Process, feel};
use engine_api::model::IncidentKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// When tokens move this often without reaching a task or an end, the process has an endless loop.
const MAX_MOVES: usize = 1_000;
/// Message of the incident of such a loop.
pub const ENDLESS_LOOP: &str = "the process moved 1000 times without reaching a task or an end: it loops";
/// Message of the incident of a task whose number of retries is unknown.
pub const NO_NUMBER: &str = "the retries expression gives no number";

/// Where an instance's tokens are between two transactions. It contains ids of elements, since indexes into the parsed
/// model may change with the parser.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Marking {
    /// Number of tokens at a task (each has a job) or at an incident.
    pub resting: u32,
    /// Numbers of tokens that wait at a joining gateway, by the id of their incoming flow.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arrived: BTreeMap<String, u32>,
    /// Keys of the open jobs. Stored here, because an index of jobs by instance would cost a write for every job. This
    /// module only copies them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<i64>,
}

/// A job to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    pub element_id: String,
    pub job_type: String,
    pub retries: i32,
}

/// An incident to create: tokens that cannot move until somebody resolves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIncident {
    pub kind: IncidentKind,
    pub element_id: String,
    pub message: String,
    /// The incoming flow of the held tokens.
    pub flow_id: Option<String>,
    /// Number of held tokens; 0 = a join waits for a token that cannot arrive.
    pub tokens: u32,
}

/// The result of moving tokens until all of them wait or have ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advance {
    pub marking: Marking,
    pub jobs: Vec<NewJob>,
    pub incidents: Vec<NewIncident>,
    /// The last token ended, and so did the instance.
    pub completed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("element {0} is not in the deployed process")]
    UnknownElement(String),
    #[error("no token rests at {0}")]
    NoToken(String),
}

/// Starts a new instance with one token at the start event.
pub fn advance_start(process: &Process, variables: &Value) -> Advance {
    let mut execution = Execution::new(process, variables, Marking::default());
    execution.enter(process.start, None);
    execution.run()
}

/// Advances the token at `element_id` after its job completed.
pub fn advance_completed(
    process: &Process,
    marking: &Marking,
    element_id: &str,
    variables: &Value,
) -> Result<Advance, Error> {
    let element =
        process.element_by_id(element_id).ok_or_else(|| Error::UnknownElement(element_id.to_owned()))?;
    let mut marking = marking.clone();
    marking.resting = marking.resting.checked_sub(1).ok_or_else(|| Error::NoToken(element_id.to_owned()))?;
    let mut execution = Execution::new(process, variables, marking);
    execution.take_all_flows(element);
    Ok(execution.run())
}

/// Retries the step of the `tokens` that an incident holds at `element_id`; `flow_id` is their incoming flow.
pub fn advance_retried(
    process: &Process,
    marking: &Marking,
    (element_id, flow_id, tokens): (&str, Option<&str>, u32),
    variables: &Value,
) -> Result<Advance, Error> {
    let unknown = |id: &str| Error::UnknownElement(id.to_owned());
    let element = process.element_by_id(element_id).ok_or_else(|| unknown(element_id))?;
    let flow = flow_id.map(|id| process.flow_by_id(id).ok_or_else(|| unknown(id))).transpose()?;
    let mut marking = marking.clone();
    marking.resting =
        marking.resting.checked_sub(tokens).ok_or_else(|| Error::NoToken(element_id.to_owned()))?;
    let mut execution = Execution::new(process, variables, marking);
    for _ in 0..tokens {
        execution.enter(element, flow);
    }
    Ok(execution.run())
}

struct Execution<'model> {
    process: &'model Process,
    variables: &'model Value,
    /// Tokens that still move: the element that each enters, and its incoming flow.
    moving: VecDeque<(ElementIndex, Option<FlowIndex>)>,
    result: Advance,
}

impl<'model> Execution<'model> {
    fn new(process: &'model Process, variables: &'model Value, marking: Marking) -> Self {
        Self {
            process,
            variables,
            moving: VecDeque::new(),
            result: Advance { marking, ..Advance::default() },
        }
    }

    fn run(mut self) -> Advance {
        let mut moves = 0;
        while let Some((element, flow)) = self.moving.pop_front() {
            if moves == MAX_MOVES {
                self.stop_endless_loop((element, flow));
                break;
            }
            moves += 1;
            self.arrive(element, flow);
        }
        let marking = &self.result.marking;
        if marking.resting == 0 {
            if marking.arrived.is_empty() {
                self.result.completed = true;
            } else {
                self.report_stuck_join();
            }
        }
        self.result
    }

    fn arrive(&mut self, index: ElementIndex, flow: Option<FlowIndex>) {
        let element = self.process.element(index);
        match &element.kind {
            ElementKind::StartEvent => self.take_all_flows(index),
            ElementKind::EndEvent => {}
            ElementKind::ServiceTask(task) => {
                self.result.marking.resting += 1;
                let retries =
                    task.retries.resolve(self.variables).and_then(|retries| i32::try_from(retries).ok());
                match retries {
                    Some(retries) => self.result.jobs.push(NewJob {
                        element_id: element.id.clone(),
                        job_type: task.job_type.clone(),
                        retries: retries.max(1),
                    }),
                    None => self.raise(IncidentKind::ExtractValueError, index, flow, 1, NO_NUMBER),
                }
            }
            ElementKind::ExclusiveGateway { default } => match self.choose(index, *default) {
                Some(flow) => self.take_flow(flow),
                // An element without an outgoing flow ends its token.
                None if element.outgoing.is_empty() => {}
                None => {
                    self.result.marking.resting += 1;
                    let message = "no condition is true and there is no default flow";
                    self.raise(IncidentKind::ConditionError, index, flow, 1, message);
                }
            },
            ElementKind::ParallelGateway => match flow {
                Some(flow) if element.incoming.len() > 1 => self.join(index, flow),
                _ => self.take_all_flows(index),
            },
        }
    }

    /// The first flow in document order whose condition is true, else the default.
    fn choose(&self, gateway: ElementIndex, default: Option<FlowIndex>) -> Option<FlowIndex> {
        let outgoing = &self.process.element(gateway).outgoing;
        let holds = |flow: &&FlowIndex| match &self.process.flow(**flow).condition {
            Some(condition) => feel::is_true(condition, self.variables),
            None => outgoing.len() == 1,
        };
        outgoing.iter().filter(|flow| Some(**flow) != default).find(holds).copied().or(default)
    }

    /// A token arrives at a joining gateway. When there is one from each incoming flow, they are replaced by one token
    /// on each outgoing flow.
    fn join(&mut self, gateway: ElementIndex, flow: FlowIndex) {
        *self.result.marking.arrived.entry(self.process.flow(flow).id.clone()).or_default() += 1;
        let incoming: Vec<&str> = self
            .process
            .element(gateway)
            .incoming
            .iter()
            .map(|flow| self.process.flow(*flow).id.as_str())
            .collect();
        let arrived = &mut self.result.marking.arrived;
        if incoming.iter().all(|flow| arrived.contains_key(*flow)) {
            for flow in incoming {
                match arrived.get_mut(flow) {
                    Some(waiting) if *waiting > 1 => *waiting -= 1,
                    _ => drop(arrived.remove(flow)),
                }
            }
            self.take_all_flows(gateway);
        }
    }

    fn take_all_flows(&mut self, element: ElementIndex) {
        for flow in &self.process.element(element).outgoing {
            self.take_flow(*flow);
        }
    }

    fn take_flow(&mut self, flow: FlowIndex) {
        self.enter(self.process.flow(flow).target, Some(flow));
    }

    fn enter(&mut self, element: ElementIndex, flow: Option<FlowIndex>) {
        self.moving.push_back((element, flow));
    }

    fn raise(
        &mut self,
        kind: IncidentKind,
        element: ElementIndex,
        flow: Option<FlowIndex>,
        tokens: u32,
        message: &str,
    ) {
        self.result.incidents.push(NewIncident {
            kind,
            element_id: self.process.element(element).id.clone(),
            message: message.to_owned(),
            flow_id: flow.map(|flow| self.process.flow(flow).id.clone()),
            tokens,
        });
    }

    /// Stops every moving token where it is. There is one incident per element and incoming flow, so that each can be
    /// retried.
    fn stop_endless_loop(&mut self, stopped: (ElementIndex, Option<FlowIndex>)) {
        let mut positions: Vec<((ElementIndex, Option<FlowIndex>), u32)> = Vec::new();
        for position in std::iter::once(stopped).chain(std::mem::take(&mut self.moving)) {
            match positions.iter_mut().find(|(known, _)| *known == position) {
                Some((_, tokens)) => *tokens = tokens.saturating_add(1),
                None => positions.push((position, 1)),
            }
        }
        for ((element, flow), tokens) in positions {
            self.result.marking.resting = self.result.marking.resting.saturating_add(tokens);
            self.raise(IncidentKind::EndlessLoop, element, flow, tokens, ENDLESS_LOOP);
        }
    }

    /// Raises an incident for a join that waits while no other token exists.
    fn report_stuck_join(&mut self) {
        let waiting =
            self.result.marking.arrived.keys().next().and_then(|flow| self.process.flow_by_id(flow));
        if let Some(flow) = waiting {
            let gateway = self.process.flow(flow).target;
            let message = "the join waits for a token that can no longer come";
            self.raise(IncidentKind::StuckJoin, gateway, None, 0, message);
        }
    }
}

#[cfg(test)]
mod tests;
