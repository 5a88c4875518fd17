//! Whose the database is. The operator writes one row, `workflow.database_claim`, and starts each engine with the one that it must be: a
//! database that was taken over, copied or restored for another WorkflowCluster has one that works on it.

use std::fmt;
use std::str::FromStr;

use sqlx::PgConnection;

/// Characters of a name that Kubernetes gives; a namespace and a uid are shorter.
const MAX_NAME_LEN: usize = 253;

/// A claim: `<installation>/<namespace>/<name>#<epoch>`. The installation is a Kubernetes cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub installation: String,
    pub namespace: String,
    pub name: String,
    /// Grows with each claim of the database.
    pub epoch: i64,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected <Kubernetes cluster>/<namespace>/<name>#<epoch>")]
pub struct Invalid;

impl FromStr for Claim {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (identity, epoch) = text.rsplit_once('#').ok_or(Invalid)?;
        let mut parts = identity.split('/').filter(|part| is_name(part)).map(str::to_owned);
        let (Some(installation), Some(namespace), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Invalid);
        };
        let epoch = epoch.parse().map_err(|_| Invalid)?;
        Ok(Self { installation, namespace, name, epoch })
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { installation, namespace, name, epoch } = self;
        write!(f, "{installation}/{namespace}/{name}#{epoch}")
    }
}

fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    (1..=MAX_NAME_LEN).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// Reads the claim; `None` = nobody has the database, or it was given up.
pub async fn observe_claim(connection: &mut PgConnection) -> Result<Option<Claim>, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('workflow.database_claim') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(None);
    }
    let row = sqlx::query_as::<_, (String, String, String, i64)>(
        "SELECT installation, namespace, name, epoch FROM workflow.database_claim WHERE released_at IS NULL",
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(installation, namespace, name, epoch)| Claim { installation, namespace, name, epoch }))
}

/// Why an engine that was started with `own` must not work on a database with this claim; `None` = it may. An engine that was given
/// nothing was not started by the operator, and compares nothing.
///
/// The other WorkflowCluster is not named: everybody who reaches the engine's ports, and every tenant, may read this.
pub fn refusal(own: Option<&Claim>, recorded: Option<&Claim>) -> Option<String> {
    let own = own?;
    let identity = |claim: &Claim| [&claim.installation, &claim.namespace, &claim.name].map(String::clone);
    match recorded {
        Some(recorded) if recorded == own => None,
        Some(recorded) if identity(recorded) == identity(own) => Some(format!(
            "the database was claimed anew: its claim has epoch {}, this engine was started with {}",
            recorded.epoch, own.epoch
        )),
        Some(_) => Some(
            "the database is claimed by another WorkflowCluster: the status of this one names it".to_owned(),
        ),
        None => Some("the database is claimed by no WorkflowCluster".to_owned()),
    }
}

#[cfg(test)]
mod tests;
