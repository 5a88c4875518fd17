//! A change of the engine's pods while traffic runs, watched until it is over.

use std::time::Duration;

use anyhow::bail;
use api_types::cluster::UpgradeStage;

use crate::testbed::{Sight, Testbed};
use crate::traffic::Record;

const LOOK: Duration = Duration::from_millis(500);

/// When something came to be. Times count from the beginning of the traffic.
#[derive(Clone, Debug)]
pub struct Mark {
    /// When it was seen.
    pub at: Duration,
    /// What.
    pub label: String,
}

/// Looks until `judge` says that it is over, for at most `limit`. `judge` also says in a word how far it is, and that is marked
/// each time that it changes.
pub async fn follow(
    testbed: &Testbed,
    record: &Record,
    limit: Duration,
    judge: impl Fn(&Sight) -> anyhow::Result<(String, bool)>,
    mut seen: impl FnMut(&Sight, &str),
) -> anyhow::Result<Vec<Mark>> {
    let (began, mut marks) = (record.elapsed(), Vec::<Mark>::new());
    loop {
        let sight = testbed.look().await?;
        let (label, is_over) = judge(&sight)?;
        seen(&sight, &label);
        let at = record.elapsed();
        if marks.last().is_none_or(|mark| mark.label != label) {
            marks.push(Mark { at, label: label.clone() });
        }
        if is_over {
            return Ok(marks);
        }
        if at.saturating_sub(began) > limit {
            bail!("not over after {} s; last seen: {label}, {}", limit.as_secs(), sight.message);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The stage of the upgrade to this version, which is to end with `end` and no other way.
pub fn judge_upgrade(sight: &Sight, to: &str, end: UpgradeStage) -> anyhow::Result<(String, bool)> {
    let Some(stage) = sight.stage.filter(|_| sight.to.as_deref() == Some(to)) else {
        return Ok((format!("to {to}"), false));
    };
    if stage != end && !stage.is_on_its_way() {
        bail!("the upgrade to {to} is {} and not {}: {}", stage.as_str(), end.as_str(), sight.message);
    }
    Ok((stage.as_str().to_owned(), stage == end))
}
