//! What went wrong with an engine call, classed by what the caller does next.

use std::fmt;

use crate::model::QuotaKind;

/// Most characters of [`EngineError::message`].
pub const MAX_MESSAGE_CHARS: usize = 256;

/// What the caller does next. Same words as the status codes of `workflow.engine.v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The request can never succeed as it is: tell the user, do not retry.
    Invalid,
    /// What was named is not there.
    NotFound,
    /// The name belongs to another owner.
    AlreadyOwned,
    /// Somebody newer was first (an older generation, a lost lease): observe again.
    Stale,
    /// A quota of the tenant, and only that: wait for the quota, not for the engine.
    QuotaExceeded {
        /// Which limit.
        quota: QuotaKind,
        /// Its value.
        limit: u64,
        /// What the tenant uses.
        current: u64,
    },
    /// A person or another controller must act first.
    Precondition {
        /// `UPPER_SNAKE_CASE`, from the engine; `UNSPECIFIED` when it gave none.
        reason: String,
    },
    /// Not reached, no answer in time, or overloaded: back off and try again.
    Unavailable,
    /// The credential is refused.
    Denied,
    /// The engine lacks the capability: a condition, never a loop.
    Unsupported,
    /// The engine lost or damaged data.
    Corrupt,
    /// A defect of the engine, or an answer outside of the contract.
    Internal,
}

impl ErrorClass {
    /// A closed set of words, for metric labels and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not-found",
            Self::AlreadyOwned => "already-owned",
            Self::Stale => "stale",
            Self::QuotaExceeded { .. } => "quota-exceeded",
            Self::Precondition { .. } => "precondition",
            Self::Unavailable => "unavailable",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }
}

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
    GetMigrationStatus => "get migration status",
    PlanMigration => "plan migration",
    ValidateProcess => "validate process",
    DeployProcess => "deploy process",
    GetProcessDefinition => "get process definition",
    ListProcessDefinitions => "list process definitions",
    DeleteProcess => "delete process",
    PutTenant => "put tenant",
    GetTenant => "get tenant",
    ListTenants => "list tenants",
    DeleteTenant => "delete tenant",
    ListTenantUsage => "list tenant usage",
    VerifyIsolation => "verify isolation",
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
        Self { class, operation, message: bounded(message.as_ref()) }
    }

    /// An error in our own words, followed by what somebody else said, quoted and made harmless.
    pub(crate) fn quoting(operation: Operation, class: ErrorClass, words: &str, quoted: &str) -> Self {
        if quoted.trim().is_empty() {
            return Self::new(operation, class, words);
        }
        Self::new(operation, class, format!("{words}: {quoted}"))
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

/// One line, printable, bounded: it may come from anybody and goes into logs, events and status.
fn bounded(text: &str) -> String {
    let mut words =
        text.split(|c: char| c.is_whitespace() || !is_printable(c)).filter(|word| !word.is_empty());
    let mut line = words.next().unwrap_or_default().to_owned();
    for word in words {
        line.push(' ');
        line.push_str(word);
    }
    match line.char_indices().nth(MAX_MESSAGE_CHARS) {
        None => line,
        Some(_) => line.chars().take(MAX_MESSAGE_CHARS - 1).chain(['…']).collect(),
    }
}

/// Neither a control character nor one that reorders or hides the text around it.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests;
