//! The next stage by stage and by what happens, as docs/operations/upgrades.md shows it.

use std::fmt::Write as _;
use std::{env, fs};

use super::*;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations/upgrades.md");
const BEGIN: &str = "<!-- Written by a test of the cluster-controller: UPDATE=1 cargo test -p cluster-controller --lib table -->\n";
const END: &str = "<!-- End of what the test writes. -->";

/// What happens to an upgrade, in the words of the document.
#[derive(Clone, Copy)]
enum Event {
    GateIsClosed,
    StepIsDone,
    PodStaysUnhealthy,
    DatabaseIsAway,
    SpecIsSetBack,
    SpecIsAThirdVersion,
    EngineIsStopped,
}

const EVENTS: [(Event, &str); 7] = [
    (Event::GateIsClosed, "a gate is closed"),
    (Event::StepIsDone, "its step is done"),
    (Event::PodStaysUnhealthy, "a new pod stays unhealthy"),
    (Event::DatabaseIsAway, "the database is away"),
    (Event::SpecIsSetBack, "the spec is set back"),
    (Event::SpecIsAThirdVersion, "the spec asks for a third version"),
    (Event::EngineIsStopped, "the engine is stopped"),
];

/// The upgrade became final: what every pod has is the new template.
fn is_final(stage: Stage) -> bool {
    matches!(stage, Stage::Contracting | Stage::Verifying | Stage::Done)
}

/// What is seen in this stage while its step is being done.
fn before(facts: &mut Facts<'_>, stage: Stage) {
    match stage {
        Stage::Canary | Stage::Rolling | Stage::RollingBack | Stage::Failed => rolling(facts),
        Stage::Soaking | Stage::Contracting | Stage::Verifying => rolled(facts),
        Stage::RolledBack => expanded(facts),
        Stage::Done => (facts.live, facts.schema) = (Some(NEW), Schema::Current),
        Stage::Preflight | Stage::Planned | Stage::BackingUp | Stage::Expanding => {}
    }
    if matches!(stage, Stage::Canary | Stage::Rolling | Stage::Soaking) {
        facts.pods.health = Health::Undecided;
    }
    if matches!(stage, Stage::Verifying | Stage::BackingUp) {
        held(facts);
    }
}

/// What is seen when its step is done.
fn after(facts: &mut Facts<'_>, stage: Stage) {
    facts.gate = None;
    match stage {
        Stage::Expanding => facts.schema = Schema::Expanded,
        Stage::Canary | Stage::Soaking => facts.pods.health = Health::Healthy,
        Stage::Rolling => facts.pods.spread = Spread::Settled,
        Stage::Contracting => facts.schema = Schema::Current,
        Stage::RollingBack => {
            (facts.live, facts.pods.spread) = (Some(OLD), Spread::Settled);
        }
        _ => {}
    }
}

/// The stage that follows, ten minutes later.
fn next(stage: Stage, event: Event) -> Stage {
    let (old, new) = (stable("1.2.3", OLD), stable("1.3.0", NEW));
    let mut facts = facts(&old);
    let mut former = in_stage(&facts, stage);
    if is_final(stage) {
        facts.stable = Some(&new);
    }
    before(&mut facts, stage);
    match event {
        Event::GateIsClosed => held(&mut facts),
        Event::StepIsDone => {
            after(&mut facts, stage);
            former.healthy_since = Some(Time(today()));
        }
        Event::PodStaysUnhealthy => {
            facts.pods.health = Health::Faulty("engine pod prod-engine-2: CrashLoopBackOff".to_owned());
            former.unhealthy_since = Some(Time(today()));
        }
        Event::DatabaseIsAway => {
            (facts.schema, facts.pods.health) = (Schema::Closed, Health::Undecided);
        }
        Event::SpecIsSetBack => {
            (facts.to, facts.wanted) = ("1.2.3", OLD);
            // To a version whose schema is gone.
            if is_final(stage) {
                facts.schema = Schema::Refused;
            }
        }
        Event::SpecIsAThirdVersion => {
            (facts.to, facts.wanted) = ("1.3.1", "digest-of-a-third-template");
        }
        Event::EngineIsStopped => {
            facts.pods.exist = false;
            facts.pods.health = Health::Undecided;
        }
    }
    stage_after(Some(&former), &facts, later(600)).unwrap()
}

fn table() -> String {
    let mut table = String::from("| Stage |");
    for (_, words) in EVENTS {
        write!(table, " {words} |").unwrap();
    }
    writeln!(table, "\n|---|{}", "---|".repeat(EVENTS.len())).unwrap();
    for stage in Stage::ALL {
        write!(table, "| `{}` |", stage.as_str()).unwrap();
        for (event, _) in EVENTS {
            match next(stage, event) {
                same if same == stage => write!(table, " stays |"),
                next => write!(table, " {} |", next.as_str()),
            }
            .unwrap();
        }
        table.push('\n');
    }
    table
}

#[test]
fn the_document_shows_the_machine() {
    let text = fs::read_to_string(DOCUMENT).unwrap();
    let (head, rest) = text.split_once(BEGIN).expect("should have the line where the table begins");
    let (shown, tail) = rest.split_once(END).expect("should have the line where the table ends");
    let table = table();
    if env::var_os("UPDATE").is_some() {
        fs::write(DOCUMENT, format!("{head}{BEGIN}{table}{END}{tail}")).unwrap();
        return;
    }
    assert_eq!(shown, table, "UPDATE=1 writes the table anew");
}

/// What no reviewer should have to look for in the table.
#[test]
fn no_event_goes_back_once_the_schema_is_contracted() {
    for stage in Stage::ALL.into_iter().filter(|stage| is_final(*stage)) {
        for (event, words) in EVENTS {
            let next = next(stage, event);
            assert!(!matches!(next, Stage::RollingBack | Stage::RolledBack), "{stage:?}, {words}: {next:?}");
        }
    }
}
