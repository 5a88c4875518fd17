//! Job types as label values. The encoding is reversible, because the adapter gets only the autoscaler's metric
//! selector.
//!
//! worker-controller encodes (`job_type=<encoded>` in the HorizontalPodAutoscaler), the metrics adapter decodes.
//!
//! - A job type that is a valid label value is not changed: `charge-payment`.
//! - Any other is written as `x_` + body + `_x`. In the body, letters, digits, `.` and `-` are not changed, and every
//!   other byte of the UTF-8 text is `_` and two lower-case hex digits: `io.camunda:http-json:1` becomes
//!   `x_io.camunda_3ahttp-json_3a1_x`.
//! - A job type that itself looks like `x_…_x` is encoded too, so that no label value has two meanings.
//! - Every job type has exactly one encoding, and [`decode`] refuses every other spelling.

use std::fmt::Write;

use crate::grammar::{LABEL_VALUE_MAX, is_label_word};

const OPEN: &str = "x_";
const CLOSE: &str = "_x";

/// Why a job type has no label value, or a label value stands for no job type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobTypeError {
    /// The job type is empty.
    #[error("job type is empty, expected at least one character")]
    Empty,
    /// The encoded job type is longer than a label value may be.
    #[error(
        "job type {job_type:?} needs {needed} characters as a label value, expected at most {LABEL_VALUE_MAX}; letters, digits, '.' and '-' need 1, every other byte needs 3"
    )]
    TooLong {
        /// The job type as given.
        job_type: String,
        /// Characters that its encoding would have.
        needed: usize,
    },
    /// The label value is not what [`encode`] makes.
    #[error("label value {label_value:?} is not an encoded job type")]
    NotEncoded {
        /// The label value as given.
        label_value: String,
    },
}

/// The label value that stands for a job type.
pub fn encode(job_type: &str) -> Result<String, JobTypeError> {
    if job_type.is_empty() {
        return Err(JobTypeError::Empty);
    }
    let encoded = if is_label_word(job_type) && !looks_encoded(job_type) {
        job_type.to_owned()
    } else {
        escape(job_type)
    };
    if encoded.len() > LABEL_VALUE_MAX as usize {
        return Err(JobTypeError::TooLong { job_type: job_type.to_owned(), needed: encoded.len() });
    }
    Ok(encoded)
}

/// The job type that a label value stands for.
pub fn decode(label_value: &str) -> Result<String, JobTypeError> {
    let not_encoded = || JobTypeError::NotEncoded { label_value: label_value.to_owned() };
    let job_type = if looks_encoded(label_value) {
        let body = &label_value[OPEN.len()..label_value.len() - CLOSE.len()];
        unescape(body).ok_or_else(not_encoded)?
    } else {
        label_value.to_owned()
    };
    match encode(&job_type) {
        Ok(canonical) if canonical == label_value => Ok(job_type),
        _ => Err(not_encoded()),
    }
}

fn looks_encoded(text: &str) -> bool {
    text.len() > OPEN.len() + CLOSE.len() && text.starts_with(OPEN) && text.ends_with(CLOSE)
}

fn is_kept(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-'
}

fn escape(job_type: &str) -> String {
    let mut encoded = String::from(OPEN);
    for byte in job_type.bytes() {
        if is_kept(byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "_{byte:02x}");
        }
    }
    encoded.push_str(CLOSE);
    encoded
}

fn unescape(body: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'_' {
            let [high, low, tail @ ..] = tail else { return None };
            bytes.push(hex_value(*high)? << 4 | hex_value(*low)?);
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
