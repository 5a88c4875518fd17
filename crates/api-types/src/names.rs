//! Names of owned objects: the same input always gives the same name, different inputs give different ones.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Most characters of a generated name: valid for every kind, also for Services and as a label value.
pub const MAX_NAME: usize = 63;
const HASH_CHARS: usize = 10;

/// `<parent>-<suffix>`; when that is longer than [`MAX_NAME`], it is cut and ends with a hash of both.
///
/// Parents of one kind and namespace give different names as long as no suffix ends with `-` and another suffix.
pub fn child(parent: &str, suffix: &str) -> String {
    let name = format!("{parent}-{suffix}");
    if name.len() <= MAX_NAME {
        return name;
    }
    let hash = short_hash(&[parent, suffix]);
    let room = MAX_NAME.saturating_sub(hash.len() + 1);
    let head = cut(&name, room);
    format!("{head}-{hash}")
}

/// One name for an object of another namespace: `<namespace>-<name>-<hash>`. It always has a hash, because without one
/// `a-b` with `c` and `a` with `b-c` would give the same name.
pub fn qualified(namespace: &str, name: &str) -> String {
    let hash = short_hash(&[namespace, name]);
    let joined = format!("{namespace}-{name}");
    format!("{}-{hash}", cut(&joined, MAX_NAME - hash.len() - 1))
}

/// `1.2.3` → `v1-2-3`: a version without dots, for names and for tools that can only compare words.
pub fn version_key(version: &str) -> String {
    let mut key = String::with_capacity(version.len() + 1);
    key.push('v');
    key.extend(
        version
            .chars()
            .map(|char| if char.is_ascii_alphanumeric() { char.to_ascii_lowercase() } else { '-' }),
    );
    key
}

fn cut(name: &str, room: usize) -> &str {
    let end =
        name.char_indices().map(|(at, char)| at + char.len_utf8()).take_while(|end| *end <= room).last();
    name[..end.unwrap_or(0)].trim_end_matches(['-', '.'])
}

/// A byte that no name contains ends each part, so that `ab` with `c` and `a` with `bc` give different hashes.
fn short_hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    let mut hash = String::with_capacity(HASH_CHARS);
    for byte in hasher.finalize().iter().take(HASH_CHARS / 2) {
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

#[cfg(test)]
mod tests;
