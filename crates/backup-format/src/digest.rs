//! The digest of a set of rows.

use sha2::{Digest as _, Sha256};

/// Count and digest of rows in no particular order.
///
/// Each row is the text that Postgres gives for it as a whole. Its number is the first 8 bytes of the text's SHA-256 as a
/// signed big-endian integer. The digest is the sum of the numbers modulo 2^64, as 16 hexadecimal characters. A sum does
/// not depend on the order, and a row that is there twice does not cancel itself out as it would with XOR. Postgres computes
/// the same with one aggregate, so that no row has to leave the server; this type is what that statement is tested against.
///
/// It finds rows that were lost, doubled, changed or given to another tenant. It is no protection against somebody who
/// chooses the rows: that is what the SHA-256 of the backup's parts is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowDigest {
    /// How many rows.
    pub rows: u64,
    sum: u64,
}

impl RowDigest {
    /// Adds a row.
    pub fn add(&mut self, row: &str) {
        let digest = Sha256::digest(row.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        self.rows += 1;
        self.sum = self.sum.wrapping_add(u64::from_be_bytes(first));
    }

    /// The digest as text.
    #[must_use]
    pub fn to_hex(self) -> String {
        format!("{:016x}", self.sum)
    }
}

impl<'a> FromIterator<&'a str> for RowDigest {
    fn from_iter<T: IntoIterator<Item = &'a str>>(rows: T) -> Self {
        let mut digest = Self::default();
        for row in rows {
            digest.add(row);
        }
        digest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(rows: &[String]) -> RowDigest {
        rows.iter().map(String::as_str).collect()
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter(rows in proptest::collection::vec(".{0,20}", 0..20), seed in any::<u64>()) {
            let mut other = rows.clone();
            // A rotation and a reversal reach other orders for every seed.
            if !other.is_empty() {
                let middle = usize::try_from(seed % other.len() as u64).unwrap_or(0);
                other.rotate_left(middle);
                other[..middle].reverse();
            }
            prop_assert_eq!(of(&rows), of(&other));
        }

        #[test]
        fn a_lost_doubled_or_changed_row_is_seen(
            rows in proptest::collection::vec(".{0,20}", 1..20), at in any::<prop::sample::Index>(),
        ) {
            let at = at.index(rows.len());
            let whole = of(&rows).to_hex();
            let mut lost = rows.clone();
            lost.remove(at);
            prop_assert_ne!(&of(&lost).to_hex(), &whole);
            let mut doubled = rows.clone();
            doubled.push(rows[at].clone());
            prop_assert_ne!(&of(&doubled).to_hex(), &whole);
            // Twice more: with XOR the pair would be invisible.
            doubled.push(rows[at].clone());
            prop_assert_ne!(&of(&doubled).to_hex(), &whole);
            let mut changed = rows.clone();
            changed[at].push('x');
            prop_assert_ne!(&of(&changed).to_hex(), &whole);
        }
    }

    #[test]
    fn the_digest_is_what_the_documentation_says() {
        let one: RowDigest = ["(acme,1)"].into_iter().collect();
        let by_hand = Sha256::digest("(acme,1)");
        let first: [u8; 8] = by_hand[..8].try_into().expect("is long enough");
        assert_eq!((one.rows, one.to_hex()), (1, format!("{:016x}", u64::from_be_bytes(first))));
        assert_eq!(RowDigest::default().to_hex(), "0000000000000000");
    }
}
