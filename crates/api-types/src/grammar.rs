//! Patterns of the strings in a spec. Each one is in the CRD schema, so the apiserver refuses a string that does not
//! match. The syntax is common to RE2 (apiserver) and the `regex` crate (the same check in the controllers).

/// RFC 1123 label: namespaces, tenants.
pub const DNS_LABEL: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// Most characters of a [`DNS_LABEL`].
pub const DNS_LABEL_MAX: u32 = 63;

/// RFC 1123 subdomain: names of objects, ingress hosts.
pub const DNS_SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// Most characters of a [`DNS_SUBDOMAIN`] or a [`HOST`].
pub const DNS_SUBDOMAIN_MAX: u32 = 253;

/// DNS name, IPv4 or IPv6 address, without port, brackets, spaces, quotes or `=`, so that the value cannot add a second
/// setting to a connection string.
pub const HOST: &str = r"^([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*\.?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)$";

/// `host:port`, with or without `http://` or `https://`, IPv6 in brackets, no path.
pub const ENDPOINT: &str =
    r"^(https?://)?([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}/?$";
/// Most characters of an [`ENDPOINT`].
pub const ENDPOINT_MAX: u32 = 272;

/// `https://host[:port][/path]`: no user, query or fragment.
pub const HTTPS_URL: &str =
    r"^https://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[-A-Za-z0-9._~%]+)*/?$";
/// Most characters of an [`HTTPS_URL`].
pub const HTTPS_URL_MAX: u32 = 512;

/// SemVer 2.0.0 without build metadata: it becomes an image tag, which cannot hold a `+`.
pub const SEMVER: &str = r"^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-(0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?$";
/// Most characters of a [`SEMVER`].
pub const SEMVER_MAX: u32 = 64;

/// `[registry[:port]/]path`, without tag and digest.
pub const IMAGE_REPOSITORY: &str = r"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?/)?[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$";
/// `[registry[:port]/]path[:tag][@sha256:digest]`.
pub const IMAGE: &str = r"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?/)?[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(@sha256:[0-9a-f]{64})?$";
/// Most characters of an [`IMAGE`] or an [`IMAGE_REPOSITORY`].
pub const IMAGE_MAX: u32 = 512;

/// Name of a Postgres database: no spaces, quotes or `=`.
pub const DATABASE: &str = r"^[A-Za-z_][A-Za-z0-9_.-]*$";
/// Most characters of a [`DATABASE`] (Postgres cuts longer names).
pub const DATABASE_MAX: u32 = 63;

/// Key in a Secret or ConfigMap.
pub const DATA_KEY: &str = r"^[-._A-Za-z0-9]+$";
/// Most characters of a [`DATA_KEY`].
pub const DATA_KEY_MAX: u32 = 253;

/// Name of an environment variable.
pub const ENV_NAME: &str = r"^[A-Za-z_][A-Za-z0-9_]*$";
/// Most characters of an [`ENV_NAME`].
pub const ENV_NAME_MAX: u32 = 128;

/// Relative path in a git tree or an archive, no part of which begins like an option; `..` is refused by a rule of its own.
pub const GIT_PATH: &str = r"^[A-Za-z0-9._][A-Za-z0-9._ -]*(/[A-Za-z0-9._][A-Za-z0-9._ -]*)*$";
/// Most characters of a [`GIT_PATH`].
pub const GIT_PATH_MAX: u32 = 512;

/// Branch, tag or commit.
pub const GIT_REVISION: &str = r"^[A-Za-z0-9][A-Za-z0-9._/+-]*$";
/// Most characters of a [`GIT_REVISION`].
pub const GIT_REVISION_MAX: u32 = 255;

/// Hours, minutes and seconds, like `1m30s`.
pub const INTERVAL: &str = r"^([0-9]{1,2}h)?([0-9]{1,4}m)?([0-9]{1,5}s)?$";
/// Most characters of an [`INTERVAL`].
pub const INTERVAL_MAX: u32 = 14;

/// Version tag that the user gives to a process definition.
pub const VERSION_TAG: &str = r"^[A-Za-z0-9][A-Za-z0-9._+-]*$";
/// Most characters of a [`VERSION_TAG`].
pub const VERSION_TAG_MAX: u32 = 64;

/// One line of text: no control characters.
pub const ONE_LINE: &str = r"^[^\x00-\x1f\x7f]*$";

/// Job type: one line, no comma (workers get a comma-separated list), no space at either end.
pub const JOB_TYPE: &str = r"^[^\x00-\x20\x7f,]([^\x00-\x1f\x7f,]*[^\x00-\x20\x7f,])?$";
/// Most characters of a [`JOB_TYPE`]; [`crate::job_type::encode`] limits it further.
pub const JOB_TYPE_MAX: u32 = 63;

/// Key of a label: `[prefix/]name`.
pub const LABEL_KEY: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
/// Most characters of a [`LABEL_KEY`].
pub const LABEL_KEY_MAX: u32 = 317;
/// Value of a label.
pub const LABEL_VALUE: &str = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";
/// Most characters of a [`LABEL_VALUE`].
pub const LABEL_VALUE_MAX: u32 = 63;

/// Whether a text is a [`LABEL_VALUE`] of at most [`LABEL_VALUE_MAX`] characters. The empty text is one.
#[must_use]
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || text.len() <= LABEL_VALUE_MAX as usize && is_label_word(text)
}

/// Whether a text has the form of a [`LABEL_VALUE`], whatever its length, and is not empty.
pub(crate) fn is_label_word(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// Kubernetes quantity, not negative: `500m`, `4Gi`, `1e3`, `0.5`.
pub const QUANTITY: &str = r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$";
/// Most characters of a [`QUANTITY`].
pub const QUANTITY_MAX: u32 = 32;

/// Time of a day, hours and minutes.
pub const TIME_OF_DAY: &str = r"^([01][0-9]|2[0-3]):[0-5][0-9]$";
/// Name of a time zone in the IANA database.
pub const TIME_ZONE: &str = r"^[A-Za-z0-9_+/-]+$";
/// Most characters of a [`TIME_ZONE`].
pub const TIME_ZONE_MAX: u32 = 64;

/// Name of a bucket.
pub const BUCKET: &str = r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$";
/// Most characters of a [`BUCKET`].
pub const BUCKET_MAX: u32 = 63;
/// Plain names with `/` between them; `.` and `..` are refused by a rule of their own.
pub const STORAGE_PATH: &str = r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$";
/// Most characters of a [`STORAGE_PATH`].
pub const STORAGE_PATH_MAX: u32 = 512;
/// Five fields of cron.
pub const CRON: &str = r"^[0-9*,/A-Za-z#?-]+( [0-9*,/A-Za-z#?-]+){4}$";
/// Most characters of a [`CRON`].
pub const CRON_MAX: u32 = 100;
/// Time with an offset.
pub const RFC3339: &str =
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$";

/// A pattern of this module in words: what to write instead.
pub fn words(pattern: &str) -> Option<&'static str> {
    let words = match pattern {
        DNS_LABEL => "a DNS label: a-z, 0-9 and '-', starting and ending with a letter or digit",
        DNS_SUBDOMAIN => {
            "a DNS name: a-z, 0-9, '-' and '.', every part starting and ending with a letter or digit"
        }
        HOST => "a DNS name or IP address without port",
        ENDPOINT => "host:port, with or without http:// or https:// before it",
        HTTPS_URL => "an https:// URL without user, query and fragment",
        SEMVER => "a version like 1.2.3 or 1.2.3-rc.1 (SemVer without build metadata)",
        IMAGE_REPOSITORY => {
            "an image repository like registry.example.com/team/engine, without tag and digest"
        }
        IMAGE => "an image like registry.example.com/team/worker:1.2.3",
        DATABASE => "a database name of letters, digits, '_', '-' and '.', starting with a letter or '_'",
        DATA_KEY => "a key of letters, digits, '-', '_' and '.'",
        ENV_NAME => "a variable name of letters, digits and '_', not starting with a digit",
        GIT_PATH => "a path relative to the root of the repository, no part of which begins with '-'",
        INTERVAL => "a duration like 30s, 5m or 1h30m",
        GIT_REVISION => "a branch, tag or commit",
        VERSION_TAG => "letters, digits, '.', '_', '+' and '-', starting with a letter or digit",
        ONE_LINE => "one line without control characters",
        JOB_TYPE => "a job type on one line, without commas and without spaces at its ends",
        LABEL_KEY => "a label key like example.com/name",
        LABEL_VALUE => {
            "a label value: letters, digits, '-', '_' and '.', starting and ending with a letter or digit"
        }
        QUANTITY => "a quantity like 500m, 2 or 4Gi, not negative",
        TIME_OF_DAY => "a time from 00:00 to 23:59",
        TIME_ZONE => "an IANA time zone like Europe/Berlin",
        BUCKET => "the name of a bucket: a-z, 0-9, '.' and '-', starting and ending with a letter or digit",
        STORAGE_PATH => "plain names of letters, digits, '.', '_' and '-', with '/' between them",
        CRON => "five fields of cron, like 0 3 * * *",
        RFC3339 => "a time like 2026-11-27T03:00:00Z",
        _ => return None,
    };
    Some(words)
}

#[cfg(test)]
mod tests;
