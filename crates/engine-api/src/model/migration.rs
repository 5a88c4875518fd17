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
