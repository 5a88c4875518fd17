//! Idempotency: a request id with the same body gets the same answer for 24 h.

use engine_api::model::{
    CanceledInstances, DeployResult, ProcessDeletion, PutTenant, ResolvedIncidents, StartedInstances,
    TenantDeletion,
};
use engine_api::proto;
use prost::Message;

use crate::database::TenantTx;
use crate::digest;
use crate::error::Error;

/// Longer ids than this are refused: a UUID has 36 characters.
const MAX_REQUEST_ID: usize = 128;

/// An answer that can be recorded, with the message type that is stored.
pub trait Answer: Clone + TryFrom<Self::Message, Error: ToString> {
    type Message: Message + Default + From<Self>;
}

macro_rules! answers {
    ($($answer:ty => $message:ty,)*) => { $(
        impl Answer for $answer {
            type Message = $message;
        }
    )* };
}

answers! {
    // For calls with an empty answer.
    () => (),
    CanceledInstances => proto::CancelInstancesResponse,
    DeployResult => proto::DeployProcessResponse,
    ProcessDeletion => proto::DeleteProcessResponse,
    PutTenant => proto::PutTenantResponse,
    ResolvedIncidents => proto::ResolveIncidentsResponse,
    StartedInstances => proto::StartInstancesResponse,
    TenantDeletion => proto::DeleteTenantResponse,
}

/// Identifies a request: its id, and a digest of its method and body, to detect another request with the same id.
#[derive(Debug)]
pub struct Remembered {
    id: String,
    body_sha256: [u8; 32],
}

impl Remembered {
    /// `None` for a request without an id: its answer is not recorded.
    pub fn of<M: Message>(method: &str, id: &str, message: &M) -> Result<Option<Self>, Error> {
        if id.is_empty() {
            return Ok(None);
        }
        if id.len() > MAX_REQUEST_ID || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Invalid(format!(
                "request_id must be at most {MAX_REQUEST_ID} printable ASCII characters without spaces"
            )));
        }
        let mut body = method.as_bytes().to_vec();
        body.push(0);
        body.extend(message.encode_to_vec());
        Ok(Some(Self { id: id.to_owned(), body_sha256: digest::sha256(&body) }))
    }
}

/// The recorded answer to this request. An error if its id was used for another request.
pub async fn find_answer<A: Answer>(
    tx: &mut TenantTx,
    request: Option<&Remembered>,
) -> Result<Option<A>, Error> {
    let Some(request) = request else { return Ok(None) };
    let tenant = tx.tenant().clone();
    let recorded = sqlx::query_as::<_, (Vec<u8>, Vec<u8>)>(
        "SELECT body_sha256, response FROM workflow.request_log
         WHERE tenant_id = $1 AND request_id = $2 AND answered_at > now() - interval '24 hours'",
    )
    .bind(tenant.as_str())
    .bind(&request.id)
    .fetch_optional(tx.connection())
    .await?;
    let Some((body_sha256, response)) = recorded else { return Ok(None) };
    if body_sha256 != request.body_sha256 {
        return Err(Error::Invalid(format!(
            "request_id {} was used for another request: give each request its own id",
            request.id
        )));
    }
    let unreadable = |error: String| Error::Defect(format!("a recorded answer cannot be read: {error}"));
    let message = A::Message::decode(response.as_slice()).map_err(|error| unreadable(error.to_string()))?;
    A::try_from(message).map(Some).map_err(|error| unreadable(error.to_string()))
}

/// Records the answer. If two replicas answer the same request at once, the second insert fails, and its retry finds
/// the first one's answer ([`Error::is_lost_race`]).
pub async fn record_answer<A: Answer>(
    tx: &mut TenantTx,
    request: Option<&Remembered>,
    answer: &A,
) -> Result<(), Error> {
    let Some(request) = request else { return Ok(()) };
    let tenant = tx.tenant().clone();
    sqlx::query(
        "WITH expired AS (
             DELETE FROM workflow.request_log
             WHERE tenant_id = $1 AND request_id = $2 AND answered_at <= now() - interval '24 hours'
         )
         INSERT INTO workflow.request_log (tenant_id, request_id, body_sha256, response) VALUES ($1, $2, $3, $4)",
    )
    .bind(tenant.as_str())
    .bind(&request.id)
    .bind(request.body_sha256.as_slice())
    .bind(A::Message::from(answer.clone()).encode_to_vec())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Deletes at most `limit` answers that are older than 24 h.
pub async fn delete_expired(tx: &mut TenantTx, limit: i64) -> Result<u64, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let deleted = sqlx::query(
        "DELETE FROM workflow.request_log WHERE tenant_id = $1 AND request_id IN (
             SELECT request_id FROM workflow.request_log
             WHERE tenant_id = $1 AND answered_at <= now() - interval '24 hours' LIMIT $2)",
    )
    .bind(tenant.as_str())
    .bind(limit)
    .execute(tx.connection())
    .await?;
    Ok(deleted.rows_affected())
}
