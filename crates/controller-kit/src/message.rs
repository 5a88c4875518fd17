//! Text that reaches users: bounded, printable, on one line.

/// Longest `status.message` and condition message, in characters.
pub const MAX_CHARS: usize = api_types::MAX_MESSAGE_CHARS;

/// The reason that kube gives an answer whose body is no `Status`; its message is that body.
const NO_STATUS: &str = "Failed to parse error data";

/// Makes `text` fit for status, events and logs: control and bidirectional characters become spaces, runs of white
/// space collapse, and more than [`MAX_CHARS`] characters end in `…`.
#[must_use]
pub fn bounded(text: &str) -> String {
    plain_text::one_line(text, MAX_CHARS)
}

/// `a, b and 3 more`: as many of the names as `room` characters hold, the first in any case.
#[must_use]
pub fn listed(names: &[String], room: usize) -> String {
    let mut shown = String::new();
    for (count, name) in names.iter().enumerate() {
        if count > 0 && shown.chars().count() + name.chars().count() > room {
            return format!("{shown} and {} more", names.len() - count);
        }
        shown = if count == 0 { name.clone() } else { format!("{shown}, {name}") };
    }
    shown
}

/// What the Kubernetes API answered to a request, in its own words; not the text of an answer from something else, for
/// instance a proxy.
#[must_use]
pub fn of_kube(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.reason == NO_STATUS => {
            format!("status {} from something between here and the Kubernetes API", status.code)
        }
        kube::Error::Api(status) if status.message.is_empty() => format!("status {}", status.code),
        kube::Error::Api(status) => bounded(&status.message),
        kube::Error::SerdeError(_) => "the answer of the Kubernetes API cannot be read".to_owned(),
        _ => "the Kubernetes API did not answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::refused(Status::failure("quota exceeded", "Forbidden").with_code(403), "quota exceeded")]
    #[case::without_words(Status::failure("", "").with_code(503), "status 503")]
    #[case::a_proxy(
        Status::failure("<html>Set-Cookie: session=8c1f</html>", "Failed to parse error data").with_code(502),
        "status 502 from something between here and the Kubernetes API"
    )]
    fn an_answer_is_reported_in_its_own_words_unless_it_is_not_from_the_apiserver(
        #[case] answer: Status,
        #[case] reported: &str,
    ) {
        assert_eq!(of_kube(&kube::Error::Api(answer.boxed())), reported);
    }

    #[test]
    fn control_characters_and_line_breaks_become_one_space() {
        assert_eq!(bounded("a\n\x1b[31mb\u{202e}c"), "a [31mb c");
    }

    #[test]
    fn names_are_listed_as_far_as_there_is_room() {
        let names = ["one", "two", "three", "four"].map(str::to_owned);
        assert_eq!(listed(&names, 10), "one, two and 2 more");
        assert_eq!(listed(&names, 0), "one and 3 more");
        assert_eq!(listed(&names, 100), "one, two, three, four");
        assert_eq!(listed(&[], 100), "");
    }

    #[test]
    fn long_text_is_cut_at_the_limit() {
        let cut = bounded(&"x".repeat(1_000));
        assert_eq!((cut.chars().count(), cut.chars().last()), (MAX_CHARS, Some('…')));
    }
}
