//! Which job types a WorkflowWorker can serve.
//!
//! The custom resource says it by a pattern and a rule (`api-types`: `grammar::JOB_TYPE`, `job_type::encode`). A test of
//! the process-controller, which knows both crates, keeps this equal to them for every text.

/// Longest form of a job type as a label value, which is how the autoscaler names it.
const MAX_LABEL_CHARS: usize = 63;

/// Why no WorkflowWorker can serve jobs of this type, as the end of a sentence that the job type begins; `None` when one
/// can.
pub fn problem(job_type: &str) -> Option<String> {
    if job_type.is_empty() {
        return Some("is empty".to_owned());
    }
    // Workers get their types as one line, with commas between.
    if let Some(control) = job_type.chars().find(char::is_ascii_control) {
        return Some(format!("holds the control character U+{:04X}", u32::from(control)));
    }
    if job_type.contains(',') {
        return Some("holds a comma".to_owned());
    }
    match (job_type.starts_with(' '), job_type.ends_with(' ')) {
        (true, true) => return Some("begins and ends with a blank".to_owned()),
        (true, false) => return Some("begins with a blank".to_owned()),
        (false, true) => return Some("ends with a blank".to_owned()),
        (false, false) => {}
    }
    let needed = label_chars(job_type);
    (needed > MAX_LABEL_CHARS).then(|| {
        format!(
            "needs {needed} characters as a label value, at most {MAX_LABEL_CHARS}; letters, digits, '.' and '-' need 1, every other byte 3"
        )
    })
}

/// A label value stands for itself, unless it looks like the encoding of another text: `x_`, then letters, digits, `.` and
/// `-`, and every other byte in three characters, then `_x`.
fn label_chars(job_type: &str) -> usize {
    let bytes = job_type.as_bytes();
    let ends_well = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let is_label_value = ends_well(bytes.first())
        && ends_well(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
    let looks_encoded = bytes.len() > 4 && job_type.starts_with("x_") && job_type.ends_with("_x");
    if is_label_value && !looks_encoded {
        return bytes.len();
    }
    let stands_for_itself = |byte: &u8| byte.is_ascii_alphanumeric() || b".-".contains(byte);
    4 + bytes.iter().map(|byte| if stands_for_itself(byte) { 1 } else { 3 }).sum::<usize>()
}

#[cfg(test)]
mod tests;
