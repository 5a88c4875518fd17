use jiff::Timestamp;

/// What a schema step does to the former version of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationKind {
    /// The former version keeps working on the new schema.
    Expand,
    /// The former version no longer works: the point of no return.
    Contract,
}

/// Whether an engine may go from its version to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionVerdict {
    /// No step at all.
    Same,
    /// A patch, or one MINOR up: nodes of both versions may serve together.
    Compatible,
    /// One MAJOR up: allowed when somebody approved exactly this.
    Breaking,
    /// More than one MINOR up.
    SkippedMinor,
    /// More than one MAJOR up.
    SkippedMajor,
    /// Down; a migrated schema does not come back.
    Downgrade,
    /// To or from a pre-release, whose schema promises nothing.
    Prerelease,
}

/// One step of the schema's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStep {
    /// Number of the step; steps run in ascending order.
    pub id: i64,
    /// What it does, for people.
    pub description: String,
    /// What it does to the former version.
    pub kind: MigrationKind,
    /// Lower-case hex of the step's text.
    pub checksum: String,
}

/// What it would take to reach a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationPlan {
    /// Whether the step is allowed at all.
    pub verdict: VersionVerdict,
    /// Pending steps that the answering binary knows, in order.
    pub steps: Vec<MigrationStep>,
}

/// Where the schema stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Number of the newest applied step, 0 for an empty database.
    pub current: i64,
    /// Number of the newest step that the answering binary knows.
    pub newest_known: i64,
    /// Steps that have run, in order.
    pub applied: Vec<AppliedMigration>,
    /// Steps that have not, in order.
    pub pending: Vec<MigrationStep>,
    /// A step was begun and never finished: a person must look.
    pub dirty: bool,
    /// Who migrates now.
    pub lock_holder: Option<String>,
}

/// A step that has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedMigration {
    /// Which one.
    pub step: MigrationStep,
    /// When it was done; `None` when the engine does not say.
    pub applied_at: Option<Timestamp>,
}
