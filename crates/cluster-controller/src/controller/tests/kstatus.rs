//! What GitOps tools are shown at each stage of an upgrade. `tests/gitops` asks the tools' own libraries about it.

use std::{env, fs};

use api_types::WorkflowCluster;
use api_types::cluster::UpgradeStage;
use controller_testing::World as _;
use engine_client::model::{CanaryFailure, CanaryStep};
use serde_json::{Value, json};

use crate::testing::minimal_with;
use crate::testing::world::World;

const SHOWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/gitops/upgrade-stages.json");

/// The first status of each stage, gate and phase.
#[derive(Default)]
struct Seen(Vec<(String, Value)>);

impl Seen {
    fn add(&mut self, cluster: &WorkflowCluster) {
        let status = cluster.status.clone().unwrap();
        let upgrade = status.upgrade.unwrap_or_default();
        let gate = upgrade.gate.map_or_else(String::new, |gate| format!(", gate {:?}", gate.name));
        let name = format!("{}{gate}, phase {:?}", upgrade.stage.as_str(), status.phase.unwrap());
        if self.0.iter().any(|(known, _)| *known == name) {
            return;
        }
        // Whom `kubectl wait` would tell that it is over.
        let is_complete =
            status.conditions.iter().any(|it| it.type_ == "UpgradeComplete" && it.status == "True");
        assert_eq!(is_complete, upgrade.stage == UpgradeStage::Done, "{name}: {:?}", status.conditions);
        let conditions: Vec<_> = status
            .conditions
            .iter()
            .map(|it| json!({"type": it.type_, "status": it.status, "reason": it.reason}))
            .collect();
        let object = json!({
            "metadata": {"generation": cluster.metadata.generation},
            "status": {
                "observedGeneration": status.observed_generation,
                "phase": status.phase,
                "ready": status.ready,
                "message": "m",
                "upgrade": {"stage": upgrade.stage},
                "conditions": conditions,
            },
        });
        self.0.push((name, object));
    }

    /// Passes until nothing moves.
    async fn watch(&mut self, world: &World) {
        let mut quiet = 0;
        while quiet < 4 {
            world.pass("dev").await;
            self.add(&world.object("dev").unwrap());
            quiet = if world.answer() { 0 } else { quiet + 1 };
        }
    }
}

fn edit(world: &World, change: impl FnOnce(&mut Value)) {
    world.edit("dev", change);
}

#[tokio::test]
async fn gitops_tools_are_asked_about_every_stage() {
    let world = World::running(&minimal_with(2)).await;
    let mut seen = Seen::default();
    edit(&world, |it| {
        it["spec"]["version"] = json!("1.3.0");
        it["spec"]["upgrade"] = json!({"finalize": "Manual"});
        it["metadata"]["annotations"] = json!({"workflow.example.com/backup-before-upgrade": "true"});
    });
    seen.watch(&world).await;
    let hash = world.status("dev").upgrade.unwrap().plan_hash;
    edit(&world, |it| it["metadata"]["annotations"]["workflow.example.com/backup-completed"] = json!(hash));
    seen.watch(&world).await;
    edit(&world, |it| {
        it["metadata"]["annotations"]["workflow.example.com/finalize-upgrade"] = json!("1.3.0");
    });
    seen.watch(&world).await;

    let failure = CanaryFailure { step: CanaryStep::Complete, message: "no".to_owned() };
    world.engine.set_canary_failure(Some(failure));
    edit(&world, |it| it["spec"]["resources"] = json!({"requests": {"cpu": "100m"}}));
    seen.watch(&world).await;
    edit(&world, |it| it["spec"]["stopped"] = json!(true));
    seen.watch(&world).await;
    edit(&world, |it| {
        it["spec"]["stopped"] = json!(false);
        it["spec"]["resources"] = json!({"requests": {"cpu": "200m"}});
        it["spec"]["upgrade"] = json!({"autoRollback": false});
    });
    seen.watch(&world).await;

    for stage in UpgradeStage::ALL {
        let is_seen = seen.0.iter().any(|(name, _)| name.split(',').next() == Some(stage.as_str()));
        assert!(is_seen, "{stage:?}");
    }
    let found: Vec<_> = seen.0.iter().map(|(name, object)| json!({"name": name, "object": object})).collect();
    let found = serde_json::to_string_pretty(&found).unwrap() + "\n";
    if env::var_os("UPDATE").is_some() {
        fs::write(SHOWN, &found).unwrap();
    }
    let is_current = fs::read_to_string(SHOWN).unwrap() == found;
    assert!(is_current, "tests/gitops/upgrade-stages.json has other statuses: UPDATE=1 writes it anew");
}
