//! Whose a database is. A row in table `workflow.database_claim` names the one WorkflowCluster that works on it. Pure, but for
//! [`sql`].

pub mod sql;

use std::fmt;

use api_types::WorkflowCluster;
use api_types::cluster::ClusterReason;
use api_types::labels::TAKE_OVER_DATABASE;
use kube::ResourceExt as _;

use crate::observe::postgres::{Database, PostgresProblem, PostgresView};

/// Characters of a name that Kubernetes gives; a namespace and a uid are shorter.
const MAX_NAME_LEN: usize = 253;

/// A WorkflowCluster, also after it was deleted and applied again: no other one has the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// uid of the namespace `kube-system`, which no two Kubernetes clusters share.
    pub installation: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Identity {
    /// The identity of this cluster.
    #[must_use]
    pub fn of(installation: &str, cluster: &WorkflowCluster) -> Self {
        Self {
            installation: installation.to_owned(),
            namespace: cluster.namespace().unwrap_or_default(),
            name: cluster.name_any(),
        }
    }

    /// For people.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!(
            "WorkflowCluster {}/{} of Kubernetes cluster {}",
            self.namespace, self.name, self.installation
        )
    }
}

/// As in the annotation that takes a database over, and in the engine's environment.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.installation, self.namespace, self.name)
    }
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose the database is.
    pub identity: Identity,
    /// uid of that WorkflowCluster.
    pub uid: String,
    /// Grows with each claim: an engine that was started with an earlier one stops working.
    pub epoch: i64,
    /// The WorkflowCluster was deleted: the database is anybody's. The row stays, so that the epoch goes on growing.
    pub is_released: bool,
}

impl Claim {
    /// Whether every part may be shown: the row can hold whatever the database's owner wrote.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        let is_name = |text: &str| {
            let is_allowed =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
            (1..=MAX_NAME_LEN).contains(&text.len()) && text.bytes().all(is_allowed)
        };
        let Identity { installation, namespace, name } = &self.identity;
        [installation, namespace, name, &self.uid].into_iter().all(|part| is_name(part))
    }

    /// What the engine is started with: it works only while the row says the same.
    #[must_use]
    pub fn for_engine(&self) -> String {
        format!("{}#{}", self.identity, self.epoch)
    }
}

/// A write to the table. It is done only if the row is still the former one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimChange {
    /// The row that was observed; `None` = there was none.
    pub former: Option<Claim>,
    /// The row that takes its place.
    pub next: Claim,
}

impl ClaimChange {
    /// Whom the database is taken from, if anybody had it.
    #[must_use]
    pub fn taken_from(&self) -> Option<&Claim> {
        self.former.as_ref().filter(|former| !former.is_released)
    }
}

/// Whose the database is, as one cluster sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The database did not say, or it is another's, which [`PostgresView`] says then.
    Unknown,
    /// It was recovered from a base backup for this cluster, and is still its source's. The end of the restore releases it.
    Recovered(Identity),
    /// It is this cluster's.
    Held(Claim),
    /// It becomes this cluster's by this write.
    Due(Box<ClaimChange>),
}

impl Ownership {
    /// The claim, while it is this cluster's.
    #[must_use]
    pub fn held(&self) -> Option<&Claim> {
        match self {
            Self::Held(claim) => Some(claim),
            Self::Unknown | Self::Recovered(_) | Self::Due(_) => None,
        }
    }

    /// For whom a backup is restored into the database.
    #[must_use]
    pub fn restoring_owner(&self) -> Option<&Identity> {
        match self {
            Self::Held(claim) => Some(&claim.identity),
            Self::Recovered(identity) => Some(identity),
            Self::Unknown | Self::Due(_) => None,
        }
    }

    /// The write that is due.
    #[must_use]
    pub fn due(&self) -> Option<&ClaimChange> {
        match self {
            Self::Due(change) => Some(change),
            Self::Unknown | Self::Recovered(_) | Self::Held(_) => None,
        }
    }
}

/// The judgement of one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Held(Claim),
    Due(ClaimChange),
    InUse(Identity),
}

/// Decides from the row and from the annotation, which counts only for exactly the claim that is there.
fn judge(identity: &Identity, uid: &str, former: Option<&Claim>, taken_over: Option<&str>) -> Verdict {
    let due = |epoch| {
        let (identity, uid) = (identity.clone(), uid.to_owned());
        let next = Claim { identity, uid, epoch, is_released: false };
        Verdict::Due(ClaimChange { former: former.cloned(), next })
    };
    match former {
        None => due(1),
        Some(former) if former.is_released => due(former.epoch.saturating_add(1)),
        Some(former) if former.identity == *identity && former.uid == uid => Verdict::Held(former.clone()),
        // It was deleted and applied again.
        Some(former) if former.identity == *identity => due(former.epoch.saturating_add(1)),
        Some(former) if taken_over == Some(former.identity.to_string().as_str()) => {
            due(former.epoch.saturating_add(1))
        }
        Some(former) => Verdict::InUse(former.identity.clone()),
    }
}

/// Whose the database is that answered so. One that is another's cannot be used. `is_recovered`: the provider made it from a
/// base backup for this cluster.
#[must_use]
pub fn judge_ownership(
    view: PostgresView,
    installation: &str,
    cluster: &WorkflowCluster,
    is_recovered: bool,
) -> (PostgresView, Ownership) {
    let PostgresView::Reachable(database) = &view else { return (view, Ownership::Unknown) };
    let in_use = |cause| {
        let problem = PostgresProblem { reason: ClusterReason::DatabaseInUse, cause };
        (PostgresView::Unusable(problem), Ownership::Unknown)
    };
    if database.claim.as_ref().is_some_and(|claim| !claim.is_readable()) {
        return in_use(
            "table workflow.database_claim holds no readable claim: delete its row if no other \
             WorkflowCluster uses the database"
                .to_owned(),
        );
    }
    let identity = Identity::of(installation, cluster);
    let uid = cluster.uid().unwrap_or_default();
    let taken_over = cluster.annotations().get(TAKE_OVER_DATABASE).map(String::as_str);
    match judge(&identity, &uid, database.claim.as_ref(), taken_over) {
        Verdict::Held(claim) => (view, Ownership::Held(claim)),
        Verdict::Due(change) => (view, Ownership::Due(Box::new(change))),
        Verdict::InUse(_) if is_recovered && !is_restored_for(database, &identity) => {
            (view, Ownership::Recovered(identity))
        }
        Verdict::InUse(other) => in_use(format!(
            "the database is used by {}: use another, or take it over by annotation {TAKE_OVER_DATABASE}",
            other.in_words()
        )),
    }
}

fn is_restored_for(database: &Database, identity: &Identity) -> bool {
    database.restored.as_ref().is_some_and(|restored| restored.owner == identity.to_string())
}

#[cfg(test)]
mod tests;
