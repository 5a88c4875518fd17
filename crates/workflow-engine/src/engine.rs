//! The use cases of the engine, with the types of `engine_api::model`. Each is one transaction, or says why not.
//! Authorization was checked before.

mod batcher;
pub mod canary;
mod deploy;
mod fences;
mod incidents;
mod instances;
pub mod jobs;
mod permission;
mod start;
mod tenants;
pub(crate) mod variables;
mod waiting;

use std::future::Future;

use engine_api::model::{Claim, Owner, PageRequest, StartedInstances, claim};
use tokio_util::sync::CancellationToken;

use crate::database::Database;
use crate::error::Error;
use crate::lag::LagSampler;
use crate::metrics::Metrics;
use crate::runtime::definitions::Definitions;
use crate::storage::keys::Keys;
use crate::streams::InFlight;
use crate::streams::waiting::Waiting;
use crate::tenant_id::TenantId;
use crate::tenant_scope::TenantScope;
use crate::wakeups::Wakeups;
use batcher::Batcher;
pub use fences::{Fence, Fences};
use jobs::Completion;
pub use permission::Permission;
use start::Start;

/// How often a transaction is tried when it conflicts with another one.
const ATTEMPTS: usize = 3;

/// A serving process on a database with a fitting schema.
#[derive(Debug)]
pub struct Engine {
    pub database: Database,
    pub keys: Keys,
    pub definitions: Definitions,
    pub fences: Fences,
    pub wakeups: Wakeups,
    pub in_flight: InFlight,
    pub waiting: Waiting,
    pub permission: Permission,
    completing: Batcher<(i64, Completion), bool>,
    starting: Batcher<Start, StartedInstances>,
    /// One canary at a time.
    canary: tokio::sync::Mutex<()>,
    pub lag: LagSampler,
    pub metrics: Metrics,
    /// Cancelled on SIGTERM: no job is activated any more, and long polls and streams end.
    pub drain: CancellationToken,
    /// Cancelled after the drain: background tasks end.
    pub stop: CancellationToken,
}

impl Engine {
    pub fn new(
        database: Database,
        metrics: Metrics,
        drain: CancellationToken,
        stop: CancellationToken,
    ) -> Self {
        Self {
            lag: LagSampler::default(),
            keys: Keys::default(),
            definitions: Definitions::default(),
            fences: Fences::default(),
            wakeups: Wakeups::default(),
            in_flight: InFlight::default(),
            waiting: Waiting::default(),
            permission: Permission::default(),
            completing: Batcher::default(),
            starting: Batcher::default(),
            canary: tokio::sync::Mutex::default(),
            database,
            metrics,
            drain,
            stop,
        }
    }
}

/// Retries a transaction that Postgres aborted because of a conflict, or one of whose new keys was already in use; the
/// retry takes new keys.
async fn settle_races<T, F>(keys: &Keys, transaction: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut attempts = 1;
    loop {
        match transaction().await {
            Err(error) if error.is_key_collision() => {
                keys.forget();
                if attempts == ATTEMPTS {
                    return Err(error);
                }
            }
            Err(error) if error.is_lost_race() && attempts < ATTEMPTS => {}
            settled => return settled,
        }
        attempts += 1;
    }
}

/// The last key of the previous page, from its token; 0 = the first page.
fn key_after(token: &str) -> Result<i64, Error> {
    match token {
        "" => Ok(0),
        token => token.parse().map_err(|_| Error::Invalid("page_token is not one of ours".to_owned())),
    }
}

/// The last key of the previous page, and the number of entries asked for.
fn keys_after(page: &PageRequest) -> Result<(i64, i64), Error> {
    Ok((key_after(&page.token)?, i64::from(page.size)))
}

/// The token of the next page; `None` when this page is not full.
fn next_token<T>(page: &[T], limit: i64, token: impl FnOnce(&T) -> String) -> Option<String> {
    let is_full = i64::try_from(page.len()).is_ok_and(|length| length == limit);
    page.last().filter(|_| is_full).map(token)
}

/// The tenant of a call that only controllers may make: their tokens have no epoch.
fn any_epoch(tenant_id: &str) -> Result<TenantScope, Error> {
    Ok(TenantScope::any_epoch(TenantId::parse(tenant_id)?))
}

/// Checks an owner, if one is given, against the limits of the database.
fn require_owner(owner: Option<&Owner>) -> Result<(), Error> {
    let Some(owner) = owner else { return Ok(()) };
    require_text("owner.id", &owner.id, 512)?;
    require_text("owner.uid", &owner.uid, 255)
}

/// Refuses a caller that may not write the object; `what` names the object.
fn refuse_claim(claim: Claim, what: impl Fn() -> String) -> Result<(), Error> {
    match claim {
        Claim::Free | Claim::Held | Claim::Inherited => Ok(()),
        Claim::Superseded => {
            Err(Error::Stale(format!("{} was taken over by a later object of the same name", what())))
        }
        Claim::Foreign => Err(Error::Owned(format!("{} is managed by another owner", what()))),
    }
}

/// May this caller delete an object with this recorded owner? An object without an owner may be deleted only by a
/// caller without an owner.
fn may_delete(caller: Option<&Owner>, recorded: Option<&Owner>) -> bool {
    match claim(caller, recorded) {
        Claim::Held | Claim::Inherited => true,
        Claim::Free => caller.is_none(),
        Claim::Superseded | Claim::Foreign => false,
    }
}

fn require_text(field: &str, text: &str, max_chars: usize) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::Invalid(format!("{field} is empty")));
    }
    require_short(field, text, max_chars)
}

fn require_short(field: &str, text: &str, max_chars: usize) -> Result<(), Error> {
    if text.chars().count() > max_chars || text.chars().any(char::is_control) {
        return Err(Error::Invalid(format!(
            "{field} must be at most {max_chars} characters without control characters"
        )));
    }
    Ok(())
}
