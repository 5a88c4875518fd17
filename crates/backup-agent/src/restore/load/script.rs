//! Takes apart the script that `pg_restore` writes without a database, into what the agent's own session executes.
//!
//! A newer pg_restore begins every script with settings that an older server does not know, like `SET transaction_timeout = 0`
//! of version 17. Those are left out, and nothing else is.

use std::collections::{BTreeSet, VecDeque};

use backup_format::{Failure, Reason};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Read at once.
const PIECE: usize = 256 * 1024;
/// The longest SQL between the rows of two tables. That of an engine's schema has some 100 KiB.
const MAX_SQL: usize = 16 * 1024 * 1024;
/// What ends the rows of a table.
const END_OF_ROWS: &[u8] = b"\\.\n";

/// What is done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Statements.
    Sql(String),
    /// The statement that takes rows, which follow.
    Copy(String),
    /// Rows in the text format of COPY, cut anywhere.
    Rows(Vec<u8>),
    /// There are no more rows of this table.
    EndOfRows,
}

/// Reads the script's steps one after the other.
pub(super) struct Script<R> {
    output: R,
    splitter: Splitter,
    steps: VecDeque<Step>,
    has_ended: bool,
}

impl<R: AsyncRead + Unpin> Script<R> {
    /// `settings` are those that the server knows.
    pub(super) fn new(output: R, settings: BTreeSet<String>) -> Self {
        Self { output, splitter: Splitter::new(settings), steps: VecDeque::new(), has_ended: false }
    }

    /// The next step; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Step>, Failure> {
        let mut piece = Vec::new();
        while self.steps.is_empty() && !self.has_ended {
            piece.resize(PIECE, 0);
            let length = self.output.read(&mut piece).await.map_err(|error| {
                Failure::new(
                    Reason::InternalError,
                    format!("the output of pg_restore cannot be read: {}", error.kind()),
                )
            })?;
            self.has_ended = length == 0;
            if self.has_ended {
                self.splitter.finish(&mut self.steps)?;
            } else {
                self.splitter.read(&piece[..length], &mut self.steps)?;
            }
        }
        Ok(self.steps.pop_front())
    }
}

struct Splitter {
    settings: BTreeSet<String>,
    /// The beginning of the current line; not in the middle of a long row.
    line: Vec<u8>,
    sql: Vec<u8>,
    place: Place,
    /// The word that `\restrict` opens and `\unrestrict` closes the script with: both are for psql.
    word: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first entry of the dump: pg_restore's own settings.
    Preamble,
    Entries,
    /// At the beginning of a row.
    Rows,
    /// In a row that was handed on in part.
    WithinRow,
}

impl Splitter {
    fn new(settings: BTreeSet<String>) -> Self {
        Self { settings, line: Vec::new(), sql: Vec::new(), place: Place::Preamble, word: None }
    }

    fn read(&mut self, piece: &[u8], steps: &mut VecDeque<Step>) -> Result<(), Failure> {
        let mut rows = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.last() == Some(&b'\n') {
                self.end_line(&mut rows, steps)?;
            }
        }
        let is_row = match self.place {
            Place::Preamble | Place::Entries => false,
            // It may still become the end of the rows.
            Place::Rows => self.line.len() >= END_OF_ROWS.len(),
            Place::WithinRow => true,
        };
        if is_row {
            rows.append(&mut self.line);
            self.place = Place::WithinRow;
        }
        push_rows(&mut rows, steps);
        if self.sql.len() + self.line.len() > MAX_SQL {
            return Err(unexpected("has more definitions than an engine's schema"));
        }
        Ok(())
    }

    fn end_line(&mut self, rows: &mut Vec<u8>, steps: &mut VecDeque<Step>) -> Result<(), Failure> {
        match self.place {
            Place::Rows if self.line == END_OF_ROWS => {
                push_rows(rows, steps);
                steps.push_back(Step::EndOfRows);
                self.place = Place::Entries;
            }
            Place::Rows | Place::WithinRow => {
                rows.extend_from_slice(&self.line);
                self.place = Place::Rows;
            }
            Place::Preamble | Place::Entries => self.end_sql_line(steps)?,
        }
        self.line.clear();
        Ok(())
    }

    fn end_sql_line(&mut self, steps: &mut VecDeque<Step>) -> Result<(), Failure> {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        if line.starts_with(b"-- Name: ") || line.starts_with(b"-- Data for Name: ") {
            self.place = Place::Entries;
        }
        if line.starts_with(b"COPY ") && line.ends_with(b" FROM stdin;") {
            let copy = parse(line.to_vec())?;
            self.push_sql(steps)?;
            steps.push_back(Step::Copy(copy));
            self.place = Place::Rows;
            return Ok(());
        }
        let is_left_out = if let Some(word) = line.strip_prefix(b"\\restrict ") {
            let is_first = self.place == Place::Preamble && self.word.is_none();
            if is_first {
                self.word = Some(word.to_vec());
            }
            is_first
        } else if let Some(word) = line.strip_prefix(b"\\unrestrict ") {
            self.word.as_deref() == Some(word)
        } else {
            self.place == Place::Preamble
                && name_of_setting(line).is_some_and(|name| !self.settings.contains(name))
        };
        if !is_left_out {
            self.sql.extend_from_slice(&self.line);
        }
        Ok(())
    }

    fn push_sql(&mut self, steps: &mut VecDeque<Step>) -> Result<(), Failure> {
        let sql = parse(std::mem::take(&mut self.sql))?;
        steps.push_back(Step::Sql(sql));
        Ok(())
    }

    fn finish(&mut self, steps: &mut VecDeque<Step>) -> Result<(), Failure> {
        if matches!(self.place, Place::Rows | Place::WithinRow) {
            return Err(unexpected("ends within the rows of a table"));
        }
        self.sql.append(&mut self.line);
        self.push_sql(steps)
    }
}

fn push_rows(rows: &mut Vec<u8>, steps: &mut VecDeque<Step>) {
    if !rows.is_empty() {
        steps.push_back(Step::Rows(std::mem::take(rows)));
    }
}

fn parse(sql: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(sql).map_err(|_| unexpected("has definitions that are no UTF-8"))
}

/// `SET transaction_timeout = 0;`
fn name_of_setting(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line).ok()?;
    Some(line.strip_prefix("SET ")?.strip_suffix(';')?.split_once(" = ")?.0)
}

fn unexpected(what: &str) -> Failure {
    Failure::new(Reason::ArtefactAltered, format!("the script that pg_restore makes of the dump {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict aB1\n\nSET lock_timeout = 0;\n\
        SET transaction_timeout = 0;\nSELECT pg_catalog.set_config('search_path', '', false);\n\n\
        --\n-- Name: f(); Type: FUNCTION; Schema: workflow; Owner: -\n--\n\n\
        CREATE FUNCTION workflow.f() RETURNS void AS $$\n\
        SET unknown = 1;\n\
        \\restrict x\n\
        $$;\n\n\
        COPY workflow.job (key, type) FROM stdin;\n\
        1\ta row that is longer than the pieces\n\
        \\\\.\n\
        \\.\n\n\
        COPY workflow.empty (key) FROM stdin;\n\
        \\.\n\n\
        ALTER TABLE workflow.job ENABLE ROW LEVEL SECURITY;\n\n\\unrestrict aB1\n\n";

    /// The steps, with neighbouring rows as one.
    fn steps_of(script: &str, size: usize) -> Vec<Step> {
        let mut splitter = Splitter::new(["lock_timeout".to_owned()].into());
        let mut steps = VecDeque::new();
        for piece in script.as_bytes().chunks(size) {
            splitter.read(piece, &mut steps).expect("is a script");
        }
        splitter.finish(&mut steps).expect("is a whole script");
        let mut joined: Vec<Step> = Vec::new();
        for step in steps {
            match (joined.last_mut(), step) {
                (Some(Step::Rows(rows)), Step::Rows(more)) => rows.extend(more),
                (_, step) => joined.push(step),
            }
        }
        joined
    }

    #[test]
    fn only_what_the_server_does_not_know_is_left_out_whatever_the_pieces_are() {
        let definitions =
            SCRIPT.split("COPY").next().expect("a beginning").replace("SET transaction_timeout = 0;\n", "");
        let expected = [
            Step::Sql(definitions.replace("\\restrict aB1\n", "")),
            Step::Copy("COPY workflow.job (key, type) FROM stdin;".to_owned()),
            Step::Rows(b"1\ta row that is longer than the pieces\n\\\\.\n".to_vec()),
            Step::EndOfRows,
            Step::Sql("\n".to_owned()),
            Step::Copy("COPY workflow.empty (key) FROM stdin;".to_owned()),
            Step::EndOfRows,
            Step::Sql("\nALTER TABLE workflow.job ENABLE ROW LEVEL SECURITY;\n\n\n".to_owned()),
        ];
        assert!(definitions.contains("SET unknown = 1;\n\\restrict x\n"), "a function stays as it is");
        for size in 1..SCRIPT.len() {
            assert_eq!(steps_of(SCRIPT, size), expected, "pieces of {size}");
        }
    }

    #[tokio::test]
    async fn a_script_that_ends_within_a_table_is_an_error() {
        let script = "COPY workflow.job (key) FROM stdin;\n1\n";
        let mut script = Script::new(script.as_bytes(), BTreeSet::new());
        let failure = loop {
            match script.next().await {
                Ok(step) => assert!(step.is_some(), "it looks whole"),
                Err(failure) => break failure,
            }
        };
        assert_eq!(failure.reason, Reason::ArtefactAltered);
    }

    #[test]
    fn definitions_without_an_end_are_an_error() {
        let (mut splitter, mut steps) = (Splitter::new(BTreeSet::new()), VecDeque::new());
        let piece = vec![b'x'; MAX_SQL + 1];
        assert!(splitter.read(&piece, &mut steps).is_err());
        assert!(steps.is_empty());
    }
}
