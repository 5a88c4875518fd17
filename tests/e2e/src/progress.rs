//! Lines that say what is waited for and how long it took. The one place of this crate that prints.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::bail;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Where lines go.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    began: Instant,
}

impl Default for Progress {
    fn default() -> Self {
        Self { began: Instant::now() }
    }
}

/// A look at something that is awaited.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// It is there; the words go into the line.
    Done(String),
    /// Not yet; what is seen instead.
    Waiting(String),
}

impl Progress {
    /// Prints one line with the time since the beginning.
    #[allow(clippy::print_stdout, reason = "this is the room that prints")]
    pub fn say(&self, line: &str) {
        println!("{:>5.0}s  {line}", self.began.elapsed().as_secs_f64());
    }

    /// Prints a line of a table, without time.
    #[allow(clippy::print_stdout, reason = "this is the room that prints")]
    pub fn row(&self, line: &str) {
        println!("{line}");
    }

    /// Time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Looks until it is done, and prints what is seen each time that it changes. A look that fails is looked at again.
    pub async fn wait_for<F, Fut>(&self, what: &str, limit: Duration, mut look: F) -> anyhow::Result<String>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = anyhow::Result<Look>>,
    {
        let (began, mut reported) = (Instant::now(), String::new());
        loop {
            let seen = match look().await {
                Ok(Look::Done(words)) => {
                    self.say(&format!("{what}: {words}"));
                    return Ok(words);
                }
                Ok(Look::Waiting(words)) => words,
                Err(error) => format!("{error:#}"),
            };
            if seen != reported {
                self.say(&format!("{what}: {seen} ..."));
                reported = seen;
            }
            if began.elapsed() > limit {
                bail!("{what}: not done after {} s; last seen: {reported}", limit.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
