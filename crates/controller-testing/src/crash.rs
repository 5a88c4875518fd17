//! A controller that is killed before or after any of its writes ends where an undisturbed one ends.

use controller_kit::outcome::{ErrorClass, Next};
use test_support::Faults;
use test_support::crash::survives_crash_at_every_write;

use crate::World;
use crate::world::MAX_PASSES;

/// [`survives_crash_at_every_write`] in this world: `fresh` makes the same world each time. Gives the writes of the
/// undisturbed run, in order.
pub async fn crash_at_every_write<W: World>(fresh: impl AsyncFn() -> W, name: &str) -> Vec<String> {
    let run = async |world: &W, faults: &Faults| run_until_settled(world, faults, name).await;
    survives_crash_at_every_write(fresh, run, async |world| world.end_state()).await.writes
}

/// The last segment of the path of each write.
#[must_use]
pub fn last_segments(writes: &[String]) -> Vec<&str> {
    writes.iter().filter_map(|write| write.rsplit('/').next()).collect()
}

/// Passes of one controller, and answers of Kubernetes, until neither changes anything. A pass that fails ends it.
pub async fn run_until_settled<W: World>(world: &W, faults: &Faults, name: &str) -> Result<(), Next> {
    let mut passes = world.started_behind(faults);
    for _ in 0..MAX_PASSES {
        let before = faults.writes().len();
        let next = world.pass_of(&mut passes, name).await;
        // `Invalid` waits for another spec or another grant: it may be the end of a run.
        if faults.stopped() || matches!(next, Next::Failed(class) if class != ErrorClass::Invalid) {
            return Err(next);
        }
        let answered = world.answer();
        if faults.writes().len() == before && !answered {
            return Ok(());
        }
    }
    panic!("{name} does not settle, with the writes\n{}", faults.writes().join("\n"))
}
