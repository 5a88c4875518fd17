//! The version of this binary. With the feature `successors`, which only tests enable, the version and a defect are read
//! from environment variables. The images of `tests/cluster/engine-versions` set them.

/// A defect of a version that exists only for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// It is ready, and completes no job.
    FailsWork,
    /// It works, and takes a second for each job.
    Slow,
    /// It exits soon after its start.
    Crashes,
    /// It runs and never becomes ready.
    NeverReady,
}

/// The version that this binary is, and that it migrates to.
#[cfg(not(feature = "successors"))]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The defect of this binary: none.
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
            Ok("slow") => Some(Defect::Slow),
            Ok("crashes") => Some(Defect::Crashes),
            Ok("never-ready") => Some(Defect::NeverReady),
            _ => None,
        });

    /// The version that the image sets.
    pub fn version() -> &'static str {
        &VERSION
    }

    /// The defect that the image sets.
    pub fn defect() -> Option<Defect> {
        *DEFECT
    }
}
