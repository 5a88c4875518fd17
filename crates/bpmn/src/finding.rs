use std::fmt;

use crate::rule::Rule;

/// How much a document is held to; the custom resource's `validate: strict | lenient`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Everything: XML, BPMN, engine capability and style.
    Strict,
    /// Everything but [`Class::Style`]: what a deployment needs to run.
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

/// What kind of rule a finding comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Not an XML document that we read, or one that the BPMN 2.0 schema does not allow.
    Xml,
    /// A rule that every engine of this kind applies to executable processes.
    Bpmn,
    /// Valid, but this engine does not execute it in this release.
    EngineCapability,
    /// Runs, but is error-prone modelling; only reported in [`Mode::Strict`].
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
    /// Worth knowing; never refuses a document.
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

/// One thing that is wrong with a document, and where.
///
/// Its `Display` is the sentence for an event or a status message: `missing taskDefinition on Task_charge`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule that was broken.
    pub rule: Rule,
    /// Whether it forbids the deployment.
    pub severity: Severity,
    /// Id of the BPMN element that the author sees in a modeller: printable, at most
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

/// Everything that a document's author or deployer needs to know about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// At most [`MAX_FINDINGS`](crate::limits::MAX_FINDINGS), ordered by line, column and rule.
    pub findings: Vec<Finding>,
    /// There were more findings than are listed.
    pub truncated: bool,
    /// Ids of the executable processes, in document order.
    pub process_ids: Vec<String>,
    /// Job types of those processes that are known without variables; sorted, each once.
    pub job_types: Vec<String>,
    /// Version tags of those processes, in document order.
    pub version_tags: Vec<String>,
}

impl Report {
    /// The process that a deployment of the document deploys; `None` when it refuses the document. Whoever validates or
    /// deploys asks this, so that none accepts what another one refuses.
    pub fn deployable_process(&self) -> Option<&str> {
        match self.process_ids.as_slice() {
            [only] if self.is_deployable() => Some(only),
            _ => None,
        }
    }

    /// The version tag that a deployment gives the process: the one that is asked for, else the document's own. An empty
    /// one is none.
    pub fn version_tag<'a>(&'a self, asked: Option<&'a str>) -> Option<&'a str> {
        asked.filter(|tag| !tag.is_empty()).or_else(|| self.version_tags.first().map(String::as_str))
    }

    /// No finding is an [`Severity::Error`].
    pub fn is_deployable(&self) -> bool {
        self.errors().next().is_none()
    }

    /// The findings that forbid the deployment.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }
}
