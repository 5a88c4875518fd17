//! The version may follow the running one.

use super::Scene;
use crate::upgrade::migration::Migration;

pub(super) fn closed(scene: &Scene<'_>) -> Option<String> {
    match scene.migration {
        Migration::Refused { message, .. } => Some(message.clone()),
        _ => None,
    }
}
