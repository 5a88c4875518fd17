//! The database answers, and no migration of another spec is at work.

use super::Scene;
use crate::observe::postgres::PostgresView;
use crate::upgrade::migration::Migration;

pub(super) fn closed(scene: &Scene<'_>) -> Option<String> {
    if let PostgresView::Unusable(problem) = &scene.observed.postgres {
        return Some(format!("the database can be used: {}", problem.cause));
    }
    match scene.migration {
        Migration::Withdrawn { job, .. } => Some(format!("migration Job {job} has ended")),
        _ => None,
    }
}
