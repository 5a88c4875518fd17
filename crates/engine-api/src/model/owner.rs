use jiff::Timestamp;

/// The object that manages a tenant or a process id in the engine.
///
/// Two owners are the same object when their `id` is the same. The `uid` tells its lives apart: an object that was
/// deleted and applied again, restored from a backup, or applied to a rebuilt Kubernetes cluster has the same `id` and
/// another `uid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// `<kind>/<namespace>/<name>`, at most 512 characters.
    pub id: String,
    /// The uid of this life.
    pub uid: String,
    /// When this life began.
    pub created_at: Timestamp,
}

/// What an owner may do with what the engine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody manages it.
    Free,
    /// This very life manages it.
    Held,
    /// An earlier life of this owner manages it: this one takes over.
    Inherited,
    /// A later life of this owner manages it: this one came too late.
    Superseded,
    /// Another owner manages it.
    Foreign,
}

impl Owner {
    /// Compares this owner with the recorded one.
    ///
    /// Lives are ordered by the time at which they began, which Kubernetes tells in whole seconds. Of two that began in
    /// the same second the one that asks last counts as the later one.
    pub fn claim(&self, recorded: Option<&Self>) -> Claim {
        match recorded {
            None => Claim::Free,
            Some(recorded) if recorded.id != self.id => Claim::Foreign,
            Some(recorded) if recorded.uid == self.uid => Claim::Held,
            Some(recorded) if recorded.created_at <= self.created_at => Claim::Inherited,
            Some(_) => Claim::Superseded,
        }
    }
}

/// [`Owner::claim`] for a caller that may be nobody's: it may use what nobody manages.
pub fn claim(caller: Option<&Owner>, recorded: Option<&Owner>) -> Claim {
    match (caller, recorded) {
        (Some(caller), recorded) => caller.claim(recorded),
        (None, None) => Claim::Free,
        (None, Some(_)) => Claim::Foreign,
    }
}

#[cfg(test)]
mod tests;
