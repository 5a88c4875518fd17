//! Which commit is meant. Pure.

use std::fmt;

use gix_hash::ObjectId;
use gix_protocol::handshake::Ref;

use crate::{Error, ErrorKind};

/// A branch, a tag or a commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Revision {
    /// A commit by its whole id.
    Commit(ObjectId),
    /// A ref by its whole name, `refs/heads/…` or `refs/tags/…`.
    Ref(String),
    /// The branch or the tag of this name.
    Name(String),
}

impl Revision {
    /// Reads what a user wrote. 40 hexadecimal digits are always a commit, whatever branches there are.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for what is no name of a branch or tag.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let id = ObjectId::from_hex(text.to_ascii_lowercase().as_bytes());
            return id.map(Self::Commit).map_err(|_| refused());
        }
        if !is_ref_name(text) {
            return Err(refused());
        }
        Ok(match text.strip_prefix("refs/") {
            None => Self::Name(text.to_owned()),
            Some(rest) if rest.starts_with("heads/") || rest.starts_with("tags/") => {
                Self::Ref(text.to_owned())
            }
            Some(_) => return Err(refused()),
        })
    }

    /// The refs that the server is asked for.
    #[must_use]
    pub fn ref_names(&self) -> Vec<String> {
        match self {
            Self::Commit(_) => Vec::new(),
            Self::Ref(name) => vec![name.clone()],
            Self::Name(name) => vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")],
        }
    }

    /// The commit that it means, by the refs of the server.
    ///
    /// # Errors
    /// [`ErrorKind::RevisionMissing`], or [`ErrorKind::RevisionAmbiguous`] if a branch and a tag of the name lead to different
    /// commits.
    pub fn resolve(&self, refs: &[Ref]) -> Result<ObjectId, Error> {
        if let Self::Commit(id) = self {
            return Ok(*id);
        }
        let names = self.ref_names();
        let mut found = refs.iter().filter_map(named_object).filter(|(name, _)| names.contains(name));
        let Some((_, id)) = found.next() else {
            return Err(Error::new(
                ErrorKind::RevisionMissing,
                format!("the repository has no {}", names.join(" and no ")),
            ));
        };
        if found.any(|(_, other)| other != id) {
            return Err(Error::new(
                ErrorKind::RevisionAmbiguous,
                format!(
                    "the repository has {} with different commits; write the whole name",
                    names.join(" and ")
                ),
            ));
        }
        Ok(id)
    }
}

/// As a user writes it.
impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit(id) => fmt::Display::fmt(id, f),
            Self::Ref(name) | Self::Name(name) => f.write_str(name),
        }
    }
}

fn refused() -> Error {
    Error::new(
        ErrorKind::Malformed,
        "the revision is none; expected the name of a branch or tag, refs/heads/<branch>, refs/tags/<tag>, or the 40 hexadecimal digits of a commit",
    )
}

/// The rules of `git check-ref-format`, and none of revision syntax: `@{…}`, `~`, `^` and `:` are refused by them.
fn is_ref_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"~^:?*[\\".contains(&byte);
    !text.is_empty()
        && text.len() <= 255
        && text != "@"
        && !text.starts_with('-')
        && !text.contains("..")
        && !text.contains("@{")
        && !text.ends_with('.')
        && text.bytes().all(is_allowed)
        && text
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none())
}

/// The name of a ref, and the commit that it leads to. A symbolic one counts by its own name.
fn named_object(found: &Ref) -> Option<(String, ObjectId)> {
    match found {
        Ref::Peeled { full_ref_name, object, .. }
        | Ref::Direct { full_ref_name, object }
        | Ref::Symbolic { full_ref_name, object, .. } => Some((full_ref_name.to_string(), *object)),
        Ref::Unborn { .. } => None,
    }
}

#[cfg(test)]
mod tests;
