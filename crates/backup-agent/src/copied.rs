//! Counts the rows that `pg_restore` would load, in the script that it writes without a database.

use std::collections::BTreeMap;

use backup_format::{Failure, Reason, Rows};

/// A row is looked at up to here: the columns before `tenant_id`, and the tenant.
const MAX_HEAD: usize = 8192;

/// Rows per table and tenant; no tenant where the table has none.
pub type Counts = BTreeMap<(String, Option<String>), u64>;

/// Reads the output of `pg_restore --data-only`, in pieces of any size.
#[derive(Debug, Default)]
pub struct RowCounter {
    counts: Counts,
    /// The beginning of the current line.
    head: Vec<u8>,
    copy: Option<Copy>,
    failure: Option<Failure>,
}

/// The data of one table: lines until `\.`.
#[derive(Debug)]
struct Copy {
    table: String,
    /// The place of `tenant_id` among the columns.
    tenant_column: Option<usize>,
}

impl RowCounter {
    /// The next piece.
    pub fn read(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend_head(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.extend_head(bytes);
    }

    fn extend_head(&mut self, bytes: &[u8]) {
        let room = MAX_HEAD - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self) {
        match &self.copy {
            None => self.copy = parse_copy(&self.head),
            Some(_) if self.head == b"\\." => self.copy = None,
            Some(copy) => {
                let tenant = match copy.tenant_column {
                    None => Ok(None),
                    Some(column) => parse_column(&self.head, column).map(Some).ok_or(()),
                };
                match tenant {
                    Ok(tenant) => *self.counts.entry((copy.table.clone(), tenant)).or_default() += 1,
                    Err(()) => {
                        self.failure = Some(Failure::new(
                            Reason::InternalError,
                            format!("a row of table {} in the dump has no readable tenant", copy.table),
                        ));
                    }
                }
            }
        }
        self.head.clear();
    }

    /// The counts, if the script ended where it should.
    pub fn finish(self) -> Result<Counts, Failure> {
        match (self.failure, self.copy) {
            (Some(failure), _) => Err(failure),
            (None, Some(copy)) => Err(Failure::new(
                Reason::ArtefactTruncated,
                format!("the data of table {} has no end in the dump", copy.table),
            )),
            (None, None) => Ok(self.counts),
        }
    }
}

/// How the counts differ from what the manifest says; none = not at all.
pub fn difference(expected: &[Rows], counts: &Counts) -> Option<String> {
    let mut wanted: Counts = BTreeMap::new();
    for line in expected.iter().filter(|line| line.rows > 0) {
        wanted.insert((line.table.clone(), line.tenant.clone()), line.rows);
    }
    let differing =
        wanted.keys().chain(counts.keys()).find(|place| wanted.get(place) != counts.get(place))?;
    let count = |counts: &Counts| counts.get(differing).copied().unwrap_or_default();
    let (table, tenant) = differing;
    let of_tenant = tenant.as_ref().map_or(String::new(), |tenant| format!(" of tenant '{tenant}'"));
    Some(format!(
        "table {table}{of_tenant} has {} rows in the dump, expected {}",
        count(counts),
        count(&wanted)
    ))
}

/// `COPY workflow.job (tenant_id, key) FROM stdin;`
fn parse_copy(line: &[u8]) -> Option<Copy> {
    let line = std::str::from_utf8(line).ok()?;
    let rest = line.strip_prefix("COPY workflow.")?.strip_suffix(" FROM stdin;")?;
    let (table, columns) = rest.split_once(" (")?;
    let columns = columns.strip_suffix(')')?;
    Some(Copy {
        table: unquoted(table),
        tenant_column: columns.split(", ").position(|column| column == "tenant_id"),
    })
}

fn unquoted(name: &str) -> String {
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_owned(),
    }
}

/// One column of a line of COPY's text format; none when it is not whole, NULL, or no text.
fn parse_column(line: &[u8], column: usize) -> Option<String> {
    let mut columns = line.split(|byte| *byte == b'\t');
    let raw = columns.nth(column)?;
    if raw == b"\\N" || (line.len() == MAX_HEAD && columns.next().is_none()) {
        return None;
    }
    let mut text = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'\\' => match bytes.next()? {
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 11,
                other => other,
            },
            other => other,
        });
    }
    String::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "--\n-- PostgreSQL database dump\n--\n\nSET row_security = on;\n\n\
        COPY workflow.job (key, tenant_id, type) FROM stdin;\n\
        1\tacme\tCOPY workflow.x (y) FROM stdin;\n\
        2\tglo\\tbex\\\\\t\\N\n\
        3\tacme\t\\\\.\n\
        \\.\n\n\n\
        COPY workflow.\"Od\"\"d\" (a, b) FROM stdin;\n\
        \\N\t2\n\
        \\.\n\n\
        COPY workflow.empty (tenant_id) FROM stdin;\n\
        \\.\n\
        SELECT pg_catalog.setval('workflow.key_block', 1, true);\n";

    fn expected() -> Counts {
        [(("job", Some("acme")), 2), (("job", Some("glo\tbex\\")), 1), (("Od\"d", None), 1)]
            .into_iter()
            .map(|((table, tenant), rows)| ((table.to_owned(), tenant.map(str::to_owned)), rows))
            .collect()
    }

    #[test]
    fn rows_are_counted_whatever_the_pieces_are() {
        for size in 1..SCRIPT.len() {
            let mut counter = RowCounter::default();
            SCRIPT.as_bytes().chunks(size).for_each(|piece| counter.read(piece));
            assert_eq!(counter.finish(), Ok(expected()), "pieces of {size}");
        }
    }

    #[test]
    fn a_script_that_ends_within_a_table_is_truncated() {
        let mut counter = RowCounter::default();
        counter.read(b"COPY workflow.job (tenant_id) FROM stdin;\nacme\n");
        let failure = counter.finish().expect_err("has no end");
        assert_eq!(failure.reason, Reason::ArtefactTruncated);
    }

    #[test]
    fn long_rows_are_counted_and_a_tenant_that_cannot_be_read_is_an_error() {
        let long = "x".repeat(3 * MAX_HEAD);
        let mut counter = RowCounter::default();
        counter.read(format!("COPY workflow.job (tenant_id, a) FROM stdin;\nacme\t{long}\n\\.\n").as_bytes());
        let counts = counter.finish().expect("is counted");
        assert_eq!(counts.into_values().sum::<u64>(), 1);
        let mut counter = RowCounter::default();
        counter.read(format!("COPY workflow.job (a, tenant_id) FROM stdin;\n{long}\tacme\n\\.\n").as_bytes());
        assert_eq!(counter.finish().expect_err("no tenant").reason, Reason::InternalError);
    }

    #[test]
    fn a_difference_names_table_and_tenant() {
        let line = |tenant: Option<&str>, rows| Rows {
            table: "job".to_owned(),
            tenant: tenant.map(str::to_owned),
            rows,
            digest: String::new(),
        };
        let mut counts = Counts::new();
        counts.insert(("job".to_owned(), Some("acme".to_owned())), 2);
        assert_eq!(difference(&[line(Some("acme"), 2), line(None, 0)], &counts), None);
        assert_eq!(
            difference(&[line(Some("acme"), 3)], &counts).as_deref(),
            Some("table job of tenant 'acme' has 2 rows in the dump, expected 3")
        );
        assert!(difference(&[], &counts).is_some());
    }
}
