//! One file of a commit of a git repository.
//!
//! A [`Repository`] asks a server what its refs are and fetches, when one moved, the trees of the commit and the files that are
//! asked for, and no other file where the server can filter. There is no work tree, no configuration, no hook, no filter and no
//! program called `git`: objects are read from packs that this crate has indexed itself.

mod pack;
mod remote;
mod repository;
mod revision;
mod store;
mod transport;
mod tree;
mod url;

pub use repository::{Access, Budget, File, Outcome, Repository, Want};
pub use revision::Revision;
pub use store::Store;
pub use transport::Authorization;
pub use url::RepositoryUrl;
