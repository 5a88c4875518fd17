//! The version of this binary. A build for tests (feature `successors`) can be told to be another version, or a bad one:
//! images of such versions are made for the tests of upgrades, see `tests/cluster/engine-versions`.

/// What is wrong with a version that was made for a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// It says that it is well, and completes no job.
    FailsWork,
    /// It ends soon after its start.
    Crashes,
    /// It runs and never becomes ready.
    NeverReady,
}

/// The version that this binary is, and that it migrates to.
#[cfg(not(feature = "successors"))]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// What is wrong with this binary: nothing that is known.
#[cfg(not(feature = "successors"))]
pub const fn defect() -> Option<Defect> {
    None
}

#[cfg(feature = "successors")]
pub use successors::{defect, version};

#[cfg(feature = "successors")]
mod successors {
    use std::env;
    use std::sync::LazyLock;

    use super::Defect;

    static VERSION: LazyLock<String> = LazyLock::new(|| {
        env::var("WORKFLOW_ENGINE_SUCCESSOR_VERSION").unwrap_or_else(|_| env!("CARGO_PKG_VERSION").to_owned())
    });

    static DEFECT: LazyLock<Option<Defect>> =
        LazyLock::new(|| match env::var("WORKFLOW_ENGINE_SUCCESSOR_DEFECT").as_deref() {
            Ok("fails-work") => Some(Defect::FailsWork),
            Ok("crashes") => Some(Defect::Crashes),
            Ok("never-ready") => Some(Defect::NeverReady),
            _ => None,
        });

    /// The version that the image says.
    pub fn version() -> &'static str {
        &VERSION
    }

    /// What the image says is wrong.
    pub fn defect() -> Option<Defect> {
        *DEFECT
    }
}
