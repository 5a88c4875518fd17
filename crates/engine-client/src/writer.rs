use std::{fmt, sync::Arc};

use engine_api::{FENCE_HEADER, WRITER_HEADER};
use tonic::{
    Status,
    metadata::{Ascii, MetadataMap, MetadataValue},
};

use crate::{EngineError, ErrorClass, Operation};

/// Reads the present fence; `None` = this replica may not write.
pub type ReadFence = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// A controller of which only one replica may write, as it shows itself to engines.
///
/// An engine that has seen a fence refuses changes with a lower one of the same name as
/// [`ErrorClass::Stale`](crate::ErrorClass::Stale). So a replica that was succeeded and does not know it yet changes
/// nothing, however late its calls arrive.
#[derive(Clone)]
pub struct Writer {
    name: MetadataValue<Ascii>,
    fence: ReadFence,
}

impl Writer {
    /// `name` is printable ASCII of 1 to 255 characters and the same for all replicas.
    pub fn new(name: &str, fence: ReadFence) -> Result<Self, EngineError> {
        let refused = || {
            let message = format!("writer {name:?} should be 1 to 255 printable ASCII characters");
            EngineError::new(Operation::Connect, ErrorClass::Invalid, message)
        };
        if name.is_empty() || name.len() > 255 {
            return Err(refused());
        }
        Ok(Self { name: name.parse().map_err(|_| refused())?, fence })
    }

    /// A replica that does not lead calls nobody.
    pub(crate) fn show(&self, metadata: &mut MetadataMap) -> Result<(), Status> {
        let Some(fence) = (self.fence)() else {
            return Err(Status::unavailable("this replica does not hold the leader lease"));
        };
        metadata.insert(WRITER_HEADER, self.name.clone());
        metadata.insert(FENCE_HEADER, MetadataValue::from(fence));
        Ok(())
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("name", &self.name).finish_non_exhaustive()
    }
}
