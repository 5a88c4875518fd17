//! A database that answers as the test says, and keeps its claim as a real one does.

use std::sync::{Arc, Mutex};

use api_types::cluster::ClusterReason;
use async_trait::async_trait;
use test_support::Faults;

use super::State;
use crate::claim::{ClaimChange, Identity};
use crate::observe::postgres::{Database, Databases, Login, PostgresProblem, PostgresView};

/// The database of a world, as one process of the controller reaches it.
pub(super) struct FakeDatabase(pub(super) Arc<Mutex<State>>, pub(super) Faults);

#[async_trait]
impl Databases for FakeDatabase {
    async fn probe(&self, _: &Login) -> PostgresView {
        let state = self.0.lock().unwrap();
        match state.postgres.clone() {
            PostgresView::Reachable(database) => {
                PostgresView::Reachable(Database { claim: state.claim.clone(), ..database })
            }
            unusable @ PostgresView::Unusable(_) => unusable,
        }
    }

    async fn claim(&self, _: &Login, change: &ClaimChange) -> Result<bool, PostgresProblem> {
        let write = async {
            let mut state = self.0.lock().unwrap();
            let is_first = state.claim == change.former;
            if is_first {
                state.claim = Some(change.next.clone());
            }
            Ok(is_first)
        };
        self.1.pass(Some("CLAIM /database"), write, |_| stopped()).await
    }

    async fn release(&self, _: &Login, identity: &Identity, uid: &str) -> Result<bool, PostgresProblem> {
        let write = async {
            let mut state = self.0.lock().unwrap();
            if let PostgresView::Unusable(problem) = &state.postgres {
                return Err(problem.clone());
            }
            let claim = state.claim.as_mut().filter(|claim| claim.identity == *identity && claim.uid == uid);
            let is_ours = claim.is_some();
            if let Some(claim) = claim {
                claim.is_released = true;
            }
            Ok(is_ours)
        };
        self.1.pass(Some("RELEASE /database"), write, |_| stopped()).await
    }
}

fn stopped() -> PostgresProblem {
    PostgresProblem { reason: ClusterReason::PostgresUnreachable, cause: "stopped".to_owned() }
}
