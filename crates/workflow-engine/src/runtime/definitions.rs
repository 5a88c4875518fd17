//! Cache of compiled definitions, by key. A definition never changes within one history of the database, so each
//! process compiles it once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bpmn::Process;

use crate::database::{History, TenantTx};
use crate::error::Error;
use crate::storage;
use crate::tenant_id::TenantId;

/// When the cache has this many entries, it is cleared. A compiled definition takes some kilobytes.
const MAX_KEPT: usize = 4096;

#[derive(Debug)]
pub struct CompiledDefinition {
    pub tenant: TenantId,
    pub key: i64,
    pub process_id: String,
    pub version: i32,
    pub process: Process,
}

#[derive(Debug, Default)]
pub struct Definitions {
    compiled: Mutex<Compiled>,
}

#[derive(Debug, Default)]
struct Compiled {
    from: Option<History>,
    kept: HashMap<i64, Arc<CompiledDefinition>>,
}

impl Definitions {
    /// `key` must come from a row of the transaction's tenant.
    pub async fn find(&self, tx: &mut TenantTx, key: i64) -> Result<Arc<CompiledDefinition>, Error> {
        let known = self.of(tx.history()).kept.get(&key).cloned();
        // The cache has no row level security, so the tenant is compared here.
        if let Some(compiled) = known.filter(|compiled| compiled.tenant == *tx.tenant()) {
            return Ok(compiled);
        }
        let (process_id, version, content) = storage::definitions::find_content(tx, key)
            .await?
            .ok_or_else(|| Error::Defect(format!("definition {key} is not stored")))?;
        let process = tokio::task::spawn_blocking(move || compile(&content))
            .await
            .map_err(|_| Error::Defect(format!("definition {key} could not be compiled")))?
            .ok_or_else(|| {
                Error::Defect(format!("definition {key} is no longer executable by this version"))
            })?;
        let compiled =
            Arc::new(CompiledDefinition { tenant: tx.tenant().clone(), key, process_id, version, process });
        let kept = &mut self.of(tx.history()).kept;
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(key, Arc::clone(&compiled));
        Ok(compiled)
    }

    /// The entries of this history; those of another one are dropped.
    fn of(&self, history: &History) -> MutexGuard<'_, Compiled> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if compiled.from.as_ref() != Some(history) {
            *compiled = Compiled { from: Some(history.clone()), kept: HashMap::new() };
        }
        compiled
    }
}

/// A deployed document has exactly one executable process.
fn compile(content: &[u8]) -> Option<Process> {
    bpmn::parse(content).ok()?.processes.into_iter().next()
}
