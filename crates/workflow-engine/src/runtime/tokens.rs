//! The token game: where an instance's tokens go when it starts or when a job completes. Pure: no I/O, no clock.

use std::collections::{BTreeMap, VecDeque};

use bpmn::{ElementIndex, ElementKind, FlowIndex, Process, feel};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A model that moves this often without reaching a task or an end loops for ever.
const MAX_MOVES: usize = 1_000;
/// What is said of it: where the tokens stop says nothing, they would stop elsewhere the next time.
pub const ENDLESS_LOOP: &str = "the process moved 1000 times without reaching a task or an end: it loops";

/// Where an instance's tokens are between two transactions. Elements are named by id, since positions in a parsed
/// model may change with the parser.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Marking {
    /// Tokens that rest at a task (each has a job) or at an incident.
    pub resting: u32,
    /// Tokens that wait at a joining gateway, by the id of the flow they came over.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arrived: BTreeMap<String, u32>,
    /// Keys of the jobs that tokens rest for: how the jobs of an instance are found without an index that every job
    /// would have to be entered in. The token game carries them along.
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

/// A token that cannot go on without a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIncident {
    pub element_id: String,
    pub message: String,
    /// The flow over which the held tokens came.
    pub flow_id: Option<String>,
    /// How many tokens are held; 0 = a join waits for a token that cannot come.
    pub tokens: u32,
}

/// What a move of tokens left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advance {
    pub marking: Marking,
    pub jobs: Vec<NewJob>,
    pub incidents: Vec<NewIncident>,
    /// The last token ended.
    pub completed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("element {0} is not in the deployed process")]
    UnknownElement(String),
    #[error("no token rests at {0}")]
    NoToken(String),
}

/// A new instance: one token at the start event.
pub fn advance_start(process: &Process, variables: &Value) -> Advance {
    let mut game = TokenGame::new(process, variables, Marking::default());
    game.enter(process.start, None);
    game.play()
}

/// The job of the token at `element_id` completed.
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
    let mut game = TokenGame::new(process, variables, marking);
    game.leave_by_all(element);
    Ok(game.play())
}

/// The `tokens` that an incident holds at `element_id` try to go on; `flow_id` is the way over which they came.
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
    let mut game = TokenGame::new(process, variables, marking);
    for _ in 0..tokens {
        game.enter(element, flow);
    }
    Ok(game.play())
}

struct TokenGame<'model> {
    process: &'model Process,
    variables: &'model Value,
    /// Tokens on their way, with the flow that each came over.
    moving: VecDeque<(ElementIndex, Option<FlowIndex>)>,
    result: Advance,
}

impl<'model> TokenGame<'model> {
    fn new(process: &'model Process, variables: &'model Value, marking: Marking) -> Self {
        Self {
            process,
            variables,
            moving: VecDeque::new(),
            result: Advance { marking, ..Advance::default() },
        }
    }

    fn play(mut self) -> Advance {
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
            ElementKind::StartEvent => self.leave_by_all(index),
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
                    None => self.raise(index, flow, 1, "the retries expression gives no number".to_owned()),
                }
            }
            ElementKind::ExclusiveGateway { default } => match self.choose(index, *default) {
                Some(flow) => self.follow(flow),
                // An element without an outgoing flow ends its token.
                None if element.outgoing.is_empty() => {}
                None => {
                    self.result.marking.resting += 1;
                    let message = "no condition is true and there is no default flow".to_owned();
                    self.raise(index, flow, 1, message);
                }
            },
            ElementKind::ParallelGateway => match flow {
                Some(flow) if element.incoming.len() > 1 => self.join(index, flow),
                _ => self.leave_by_all(index),
            },
        }
    }

    /// The first flow in document order whose condition holds, else the default.
    fn choose(&self, gateway: ElementIndex, default: Option<FlowIndex>) -> Option<FlowIndex> {
        let outgoing = &self.process.element(gateway).outgoing;
        let holds = |flow: &&FlowIndex| match &self.process.flow(**flow).condition {
            Some(condition) => feel::is_true(condition, self.variables),
            None => outgoing.len() == 1,
        };
        outgoing.iter().filter(|flow| Some(**flow) != default).find(holds).copied().or(default)
    }

    /// One token of each incoming flow together become one on each outgoing flow.
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
            self.leave_by_all(gateway);
        }
    }

    fn leave_by_all(&mut self, element: ElementIndex) {
        for flow in &self.process.element(element).outgoing {
            self.follow(*flow);
        }
    }

    fn follow(&mut self, flow: FlowIndex) {
        self.enter(self.process.flow(flow).target, Some(flow));
    }

    fn enter(&mut self, element: ElementIndex, flow: Option<FlowIndex>) {
        self.moving.push_back((element, flow));
    }

    fn raise(&mut self, element: ElementIndex, flow: Option<FlowIndex>, tokens: u32, message: String) {
        self.result.incidents.push(NewIncident {
            element_id: self.process.element(element).id.clone(),
            message,
            flow_id: flow.map(|flow| self.process.flow(flow).id.clone()),
            tokens,
        });
    }

    /// Every token on its way stops where it is: one incident per way, so that all of them can be tried again.
    fn stop_endless_loop(&mut self, stopped: (ElementIndex, Option<FlowIndex>)) {
        let mut ways: Vec<((ElementIndex, Option<FlowIndex>), u32)> = Vec::new();
        for way in std::iter::once(stopped).chain(std::mem::take(&mut self.moving)) {
            match ways.iter_mut().find(|(known, _)| *known == way) {
                Some((_, tokens)) => *tokens = tokens.saturating_add(1),
                None => ways.push((way, 1)),
            }
        }
        for ((element, flow), tokens) in ways {
            self.result.marking.resting = self.result.marking.resting.saturating_add(tokens);
            self.raise(element, flow, tokens, ENDLESS_LOOP.to_owned());
        }
    }

    /// Tokens wait at a join, and no other token is left that could come.
    fn report_stuck_join(&mut self) {
        let waiting =
            self.result.marking.arrived.keys().next().and_then(|flow| self.process.flow_by_id(flow));
        if let Some(flow) = waiting {
            let gateway = self.process.flow(flow).target;
            self.raise(gateway, None, 0, "the join waits for a token that can no longer come".to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
