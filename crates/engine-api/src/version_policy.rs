//! Which version steps an engine cluster may take. One place for whoever decides it: the engine's own `migrate`, its
//! `PlanMigration`, and the controller that rolls its pods.

use semver::Version;

pub use crate::model::VersionVerdict as Verdict;

impl Verdict {
    /// May be taken, approval aside.
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::Same | Self::Compatible | Self::Breaking)
    }

    /// The rule behind the verdict, in words for users.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Same => "it is the same version",
            Self::Compatible => "it is at most one MINOR up",
            Self::Breaking => "one MAJOR up needs approval",
            Self::SkippedMinor => "at most one MINOR may be stepped up at once",
            Self::SkippedMajor => "at most one MAJOR may be stepped up at once",
            Self::Downgrade => "a downgrade is never possible, restore a backup instead",
            Self::Prerelease => "pre-releases are neither a target nor a starting point",
        }
    }
}

/// Judges a step. Build metadata does not count.
pub fn judge(from: &Version, to: &Version) -> Verdict {
    if !from.pre.is_empty() || !to.pre.is_empty() {
        return Verdict::Prerelease;
    }
    let numbers = |version: &Version| (version.major, version.minor, version.patch);
    if numbers(to) == numbers(from) {
        return Verdict::Same;
    }
    if numbers(to) < numbers(from) {
        return Verdict::Downgrade;
    }
    match (to.major - from.major, to.minor.saturating_sub(from.minor)) {
        (0, 0 | 1) => Verdict::Compatible,
        (0, _) => Verdict::SkippedMinor,
        (1, _) => Verdict::Breaking,
        _ => Verdict::SkippedMajor,
    }
}

#[cfg(test)]
mod tests;
