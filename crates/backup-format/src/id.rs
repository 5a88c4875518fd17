//! The id of a backup.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest id.
const MAX_CHARS: usize = 63;

/// The id of a backup: 1 to 63 of `a-z`, `0-9` and `-`, beginning and ending with a letter or digit. So it is one folder
/// name, and never `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

/// Why a text is no id of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the backup id must be 1 to 63 characters of a-z, 0-9 and '-', and begin and end with a letter or a digit"
)]
pub struct BackupIdError;

impl BackupId {
    /// A text that was checked before.
    pub(crate) const fn of_checked(text: String) -> Self {
        Self(text)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BackupId {
    type Err = BackupIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fits = (1..=MAX_CHARS).contains(&text.len())
            && text.chars().all(|c| is_plain(c) || c == '-')
            && text.starts_with(is_plain)
            && text.ends_with(is_plain);
        if fits { Ok(Self(text.to_owned())) } else { Err(BackupIdError) }
    }
}

impl TryFrom<String> for BackupId {
    type Error = BackupIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::word("nightly")]
    #[case::one("a")]
    #[case::digits_first("20261127-0300")]
    #[case::longest("a23456789012345678901234567890123456789012345678901234567890123")]
    fn ids(#[case] text: &str) {
        assert_eq!(text.parse::<BackupId>().map(String::from).as_deref(), Ok(text));
    }

    #[rstest]
    #[case::empty("")]
    #[case::parent("..")]
    #[case::path("a/b")]
    #[case::upper("Nightly")]
    #[case::dash_first("-a")]
    #[case::dash_last("a-")]
    #[case::dot("a.b")]
    #[case::line("a\n")]
    #[case::too_long("a234567890123456789012345678901234567890123456789012345678901234")]
    fn other_texts_are_none(#[case] text: &str) {
        assert_eq!(text.parse::<BackupId>(), Err(BackupIdError));
        let quoted = serde_json::Value::from(text);
        assert!(serde_json::from_value::<BackupId>(quoted).is_err(), "serde checks as well");
    }
}
