//! Digests that are compared or used as lock numbers.

use sha2::{Digest, Sha256};

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A number for a Postgres advisory lock. If two names get the same number, they only wait for each other.
pub(crate) fn lock_key(scope: &str, name: &str) -> i64 {
    let digest = sha256(format!("{scope}/{name}").as_bytes());
    i64::from_be_bytes([
        digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
    ])
}

/// Eight hexadecimal characters that distinguish names.
pub(crate) fn short_hex(name: &str) -> String {
    let [a, b, c, d, ..] = sha256(name.as_bytes());
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}
