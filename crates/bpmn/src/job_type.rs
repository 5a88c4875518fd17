//! Which job types a WorkflowWorker can serve. The custom resource checks the same with a pattern and a rule
//! (`api-types`: `grammar::JOB_TYPE`, `job_type::encode`). A test of the process-controller, which depends on both
//! crates, checks that they agree.

/// Maximum length of a job type's encoding as a label value, which the autoscaler uses.
const MAX_LABEL_CHARS: usize = 63;

/// Why no WorkflowWorker can serve jobs of this type, as the end of a sentence that the job type begins; `None` when one
/// can.
pub fn problem(job_type: &str) -> Option<String> {
    if job_type.is_empty() {
        return Some("is empty".to_owned());
    }
    // Workers get their types as one line, separated by commas.
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

/// Length of the encoding. A valid label value is not encoded, unless it looks like an encoding. An encoding is `x_`,
/// then letters, digits, `.` and `-` unchanged and every other byte as three characters, then `_x`.
fn label_chars(job_type: &str) -> usize {
    let bytes = job_type.as_bytes();
    let is_alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let is_label_value = is_alphanumeric(bytes.first())
        && is_alphanumeric(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
    let looks_encoded = bytes.len() > 4 && job_type.starts_with("x_") && job_type.ends_with("_x");
    if is_label_value && !looks_encoded {
        return bytes.len();
    }
    let is_unchanged = |byte: &u8| byte.is_ascii_alphanumeric() || b".-".contains(byte);
    4 + bytes.iter().map(|byte| if is_unchanged(byte) { 1 } else { 3 }).sum::<usize>()
}

#[cfg(test)]
mod tests;
