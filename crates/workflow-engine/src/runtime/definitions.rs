//! Compiled definitions, kept per key: a definition never changes, so each process compiles it once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bpmn::Process;

use crate::database::TenantTx;
use crate::error::Error;
use crate::storage;

/// Above this the cache starts over: a compiled definition is some kilobytes.
const MAX_KEPT: usize = 4096;

#[derive(Debug)]
pub struct CompiledDefinition {
    pub key: i64,
    pub process_id: String,
    pub version: i32,
    pub process: Process,
}

#[derive(Debug, Default)]
pub struct Definitions {
    compiled: Mutex<HashMap<i64, Arc<CompiledDefinition>>>,
}

impl Definitions {
    /// The key must come from a row of the transaction's tenant: the cache itself knows no walls.
    pub async fn find(&self, tx: &mut TenantTx, key: i64) -> Result<Arc<CompiledDefinition>, Error> {
        if let Some(compiled) = self.kept(key) {
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
        let compiled = Arc::new(CompiledDefinition { key, process_id, version, process });
        let mut kept = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(key, Arc::clone(&compiled));
        Ok(compiled)
    }

    fn kept(&self, key: i64) -> Option<Arc<CompiledDefinition>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }
}

/// A deployed document has exactly one executable process.
fn compile(content: &[u8]) -> Option<Process> {
    bpmn::parse(content).ok()?.processes.into_iter().next()
}
