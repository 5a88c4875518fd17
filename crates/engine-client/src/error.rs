//! What went wrong with an engine call, classed by what the caller does next.

use std::fmt;

use engine_api::{
    ErrorClass,
    convert::{Malformed, TooPrecise},
    refusal::Refusal,
};

/// Most characters of [`EngineError::message`].
pub const MAX_MESSAGE_CHARS: usize = 256;

macro_rules! operations {
    ($($variant:ident => $words:literal,)*) => {
        /// The calls of an engine, a closed set.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)] // each is the call of the same name
        pub enum Operation { $($variant,)* }

        impl Operation {
            /// The call in words, also fit for a metric label.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $words,)* }
            }
        }
    };
}

operations! {
    Connect => "connect to engine",
    GetInfo => "get engine info",
    GetHealth => "get engine health",
    RunCanary => "run the engine's canary",
    DeployProcess => "deploy process",
    GetProcessDefinition => "get process definition",
    ListProcessDefinitions => "list process definitions",
    GetProcessDocument => "get process document",
    CountWaitingInstances => "count waiting instances",
    DeleteProcess => "delete process",
    PutTenant => "put tenant",
    ListTenants => "list tenants",
    DeleteTenant => "delete tenant",
    ListTenantUsage => "list tenant usage",
    StartInstance => "start instance",
    StartInstances => "start instances",
    ActivateJobs => "activate jobs",
    StreamActivatedJobs => "stream activated jobs",
    CompleteJob => "complete job",
    CompleteJobs => "complete jobs",
    FailJob => "fail job",
    ExtendJob => "extend job",
    GetInstance => "get instance",
    ListInstances => "list instances",
    SetVariables => "set variables",
    CancelInstance => "cancel instance",
    CancelInstances => "cancel instances",
    ListIncidents => "list incidents",
    CountIncidents => "count incidents",
    ResolveIncident => "resolve incident",
    ResolveIncidents => "resolve incidents",
    ListJobLag => "list job lag",
    WatchJobLag => "watch job lag",
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed engine call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct EngineError {
    class: ErrorClass,
    operation: Operation,
    message: String,
}

impl EngineError {
    /// An error in our own words.
    pub fn new(operation: Operation, class: ErrorClass, message: impl AsRef<str>) -> Self {
        Self { class, operation, message: plain_text::one_line(message.as_ref(), MAX_MESSAGE_CHARS) }
    }

    /// The error of a call that the engine refused, or that did not reach it.
    pub(crate) fn refused(operation: Operation, refusal: Refusal) -> Self {
        let message = refusal.to_string();
        Self::new(operation, refusal.class, message)
    }

    /// The error of a call whose answer breaks the contract.
    pub(crate) fn malformed(operation: Operation, malformed: &Malformed) -> Self {
        let message = format!("engine's answer is outside of the contract: {malformed}");
        Self::new(operation, ErrorClass::Internal, message)
    }

    /// The error of a call that was asked to send variables that the wire cannot carry.
    pub(crate) fn too_precise(operation: Operation, variables: &TooPrecise) -> Self {
        Self::new(operation, ErrorClass::Invalid, variables.to_string())
    }

    /// The same, met on the way to another call.
    pub(crate) fn during(self, operation: Operation) -> Self {
        Self { operation, ..self }
    }

    /// What to do next.
    pub fn class(&self) -> &ErrorClass {
        &self.class
    }

    /// Which call failed.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// What happened, without the operation: our own words first, printable, at most [`MAX_MESSAGE_CHARS`].
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether trying the same again later may help without anybody acting.
    pub fn is_unavailable(&self) -> bool {
        self.class == ErrorClass::Unavailable
    }
}

#[cfg(test)]
mod tests;
