use std::fmt;

use crate::rule::Rule;

/// Which classes of rules apply; the custom resource's `validate: strict | lenient`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// All classes: XML, BPMN, engine capability and style.
    Strict,
    /// All classes except [`Class::Style`]: all that is necessary for the execution.
    Lenient,
}

impl Mode {
    /// `strict` or `lenient`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Lenient => "lenient",
        }
    }
}

/// The class of the rule of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Rules of XML and of the BPMN 2.0 schema.
    Xml,
    /// Rules that every engine of this kind applies to executable processes.
    Bpmn,
    /// Valid BPMN that this engine does not execute in this release.
    EngineCapability,
    /// Executable but error-prone modelling; only reported in [`Mode::Strict`].
    Style,
}

impl Class {
    /// `xml`, `bpmn`, `engine-capability` or `style`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Xml => "xml",
            Self::Bpmn => "bpmn",
            Self::EngineCapability => "engine-capability",
            Self::Style => "style",
        }
    }
}

/// Whether a finding forbids the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The document is not deployed.
    Error,
    /// For information; it does not forbid the deployment.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A violation of a rule, with its place in the document.
///
/// Its `Display` is the sentence for an event or a status message: `missing taskDefinition on Task_charge`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule that was broken.
    pub rule: Rule,
    /// Whether it forbids the deployment.
    pub severity: Severity,
    /// Id of the nearest BPMN element that a modeller shows: printable, at most
    /// [`MAX_QUOTED_CHARS`](crate::limits::MAX_QUOTED_CHARS) characters. `None` when there is no such element.
    pub element_id: Option<String>,
    /// 1-based line, or 0 when the finding has no place in the document.
    pub line: u32,
    /// 1-based column in characters, or 0 when the finding has no place in the document.
    pub column: u32,
    /// What is wrong, without the element: printable, at most
    /// [`MAX_MESSAGE_CHARS`](crate::limits::MAX_MESSAGE_CHARS) characters.
    pub message: String,
}

impl Finding {
    /// The rule's stable id, as in `docs/spec/bpmn-rules.md`.
    pub const fn rule_id(&self) -> &'static str {
        self.rule.id()
    }

    /// The rule's class.
    pub const fn class(&self) -> Class {
        self.rule.class()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.element_id {
            Some(id) => write!(formatter, "{} on {id}", self.message),
            None => formatter.write_str(&self.message),
        }
    }
}

/// The result of [`lint`](crate::lint).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// At most [`MAX_FINDINGS`](crate::limits::MAX_FINDINGS), ordered by line, column and rule.
    pub findings: Vec<Finding>,
    /// There were more findings than are listed.
    pub truncated: bool,
    /// Ids of the executable processes, in document order.
    pub process_ids: Vec<String>,
    /// Job types of those processes that do not depend on variables; sorted, without duplicates.
    pub job_types: Vec<String>,
    /// Version tags of those processes, in document order.
    pub version_tags: Vec<String>,
}

impl Report {
    /// Id of the process that a deployment of the document deploys; `None` when the document is refused. Validation and
    /// deployment both use it, so that they always agree.
    pub fn deployable_process(&self) -> Option<&str> {
        match self.process_ids.as_slice() {
            [only] if self.is_deployable() => Some(only),
            _ => None,
        }
    }

    /// The version tag of a deployment: `asked`, unless it is empty, else the document's own.
    pub fn version_tag<'a>(&'a self, asked: Option<&'a str>) -> Option<&'a str> {
        asked.filter(|tag| !tag.is_empty()).or_else(|| self.version_tags.first().map(String::as_str))
    }

    /// Whether no finding is an [`Severity::Error`].
    pub fn is_deployable(&self) -> bool {
        self.errors().next().is_none()
    }

    /// The findings that forbid the deployment.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }
}
