/// Which part of a long list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Most entries: 1 to 1000.
    pub size: u32,
    /// Where an earlier part ended, as its answer says; empty = from the beginning.
    pub token: String,
}

/// A part of a long list, in the order of keys. It may be short, even empty, and not the last: only `next` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The part.
    pub entries: Vec<T>,
    /// Where the list goes on; `None` = this was its end.
    pub next: Option<String>,
}
