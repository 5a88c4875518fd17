//! The id of a base backup that CloudNativePG made with Barman Cloud, and where its objects are.

use std::fmt;
use std::str::FromStr;

use crate::BackupId;

/// Characters of Barman's own id: `20261128T034314`.
const BASE_CHARS: usize = 15;
/// The longest name of a server: the whole must be a [`BackupId`].
pub const MAX_SERVER_CHARS: usize = 47;

/// `<server>-<base>`, where the server is the name under which one Postgres archives, and the base is Barman's id of a base
/// backup in lower case. No backup of method `Logical` has such an id: those end with a part of a uid, or with a hash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PhysicalId {
    server: String,
    base: String,
}

impl PhysicalId {
    /// From the two names, as Barman writes them; `None` if they are none.
    #[must_use]
    pub fn new(server: &str, base: &str) -> Option<Self> {
        format!("{server}-{}", base.to_lowercase()).parse().ok()
    }

    /// The name under which Postgres archives. A folder at the destination.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Barman's id: `20261128T034314`.
    #[must_use]
    pub fn base(&self) -> String {
        self.base.to_uppercase()
    }

    /// The folder of the base backup, below the destination.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{}/base/{}", self.server, self.base())
    }
}

/// A text is no id of a base backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a base backup must be '<server>-<yyyymmdd>t<hhmmss>'")]
pub struct PhysicalIdError;

impl FromStr for PhysicalId {
    type Err = PhysicalIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_id = text.parse::<BackupId>().is_ok();
        let (server, base) = text.rsplit_once('-').filter(|_| is_id).ok_or(PhysicalIdError)?;
        let is_base = base.len() == BASE_CHARS
            && base
                .bytes()
                .enumerate()
                .all(|(at, byte)| if at == 8 { byte == b't' } else { byte.is_ascii_digit() });
        if is_base && server.parse::<BackupId>().is_ok() {
            Ok(Self { server: server.to_owned(), base: base.to_owned() })
        } else {
            Err(PhysicalIdError)
        }
    }
}

impl From<PhysicalId> for BackupId {
    fn from(id: PhysicalId) -> Self {
        Self::of_checked(id.to_string())
    }
}

impl fmt::Display for PhysicalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.server, self.base)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn an_id_names_server_and_base() {
        let id = PhysicalId::new("prod-1a2b3c4d", "20261128T034314").expect("is an id");
        assert_eq!(id.to_string(), "prod-1a2b3c4d-20261128t034314");
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        assert_eq!((id.server(), id.base().as_str()), ("prod-1a2b3c4d", "20261128T034314"));
        assert_eq!(id.folder(), "prod-1a2b3c4d/base/20261128T034314");
    }

    #[test]
    fn the_longest_server_fits() {
        assert!(PhysicalId::new(&"a".repeat(MAX_SERVER_CHARS), "20261128T034314").is_some());
        assert!(PhysicalId::new(&"a".repeat(MAX_SERVER_CHARS + 1), "20261128T034314").is_none());
    }

    #[rstest]
    #[case::logical("nightly-1a2b3c4d")]
    #[case::logical_with_a_date("prod-20261128t034314-1a2b3c4d")]
    #[case::no_server("20261128t034314")]
    #[case::no_time("prod-20261128")]
    #[case::letters("prod-2026112xt034314")]
    #[case::path("../prod-20261128t034314")]
    fn other_ids_are_none(#[case] text: &str) {
        assert_eq!(text.parse::<PhysicalId>(), Err(PhysicalIdError));
    }
}
