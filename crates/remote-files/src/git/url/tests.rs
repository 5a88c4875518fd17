use rstest::rstest;

use super::RepositoryUrl;

#[rstest]
#[case::plain("https://git.example.com/acme/orders.git", "https://git.example.com/acme/orders.git")]
#[case::capitals("HTTPS://GIT.Example.com/Acme", "https://git.example.com/Acme")]
#[case::port("https://git.example.com:8443/acme", "https://git.example.com:8443/acme")]
#[case::default_port("https://git.example.com:443/acme", "https://git.example.com/acme")]
#[case::decimal_address("https://2130706433/acme", "https://127.0.0.1/acme")]
#[case::octal_address("https://0177.1/acme", "https://127.0.0.1/acme")]
#[case::dots("https://git.example.com/a/../b", "https://git.example.com/b")]
#[case::other_letters("https://ｇit.example.com/acme", "https://git.example.com/acme")]
fn an_address_has_one_form(#[case] text: &str, #[case] canonical: &str) {
    assert_eq!(RepositoryUrl::parse(text).expect("a repository").to_string(), canonical);
}

#[rstest]
#[case::option("--upload-pack=/bin/sh", "is no URL")]
#[case::path("/etc/passwd", "is no URL")]
#[case::scp("git@github.com:acme/orders.git", "is no URL")]
#[case::file("file:///etc/passwd", "is not https")]
#[case::ext("ext::sh -c date", "is not https")]
#[case::git("git://git.example.com/acme", "is not https")]
#[case::clear_text("http://git.example.com/acme", "is not https")]
#[case::user("https://user@git.example.com/acme", "has a user")]
#[case::password("https://:secret@git.example.com/acme", "has a user")]
#[case::query("https://git.example.com/acme?x=y", "has a query or a fragment")]
#[case::fragment("https://git.example.com/acme#x", "has a query or a fragment")]
#[case::host_like_an_option("https://-oProxyCommand=date/acme", "has a host that begins with '-'")]
fn what_is_no_https_repository_is_refused(#[case] text: &str, #[case] why: &str) {
    assert_eq!(
        RepositoryUrl::parse(text).expect_err("refused").message,
        format!(
            "the URL of the repository {why}; expected https://host/path without user, query and fragment"
        )
    );
}
