use rstest::rstest;

use super::*;

#[rstest]
#[case::same("1.2.3", "1.2.3", Verdict::Same)]
#[case::other_build_of_the_same("1.2.3", "1.2.3+debian.1", Verdict::Same)]
#[case::patch_up("1.2.3", "1.2.9", Verdict::Compatible)]
#[case::one_minor_up("1.2.3", "1.3.0", Verdict::Compatible)]
#[case::one_minor_up_to_a_lower_patch("1.2.3", "1.3.1", Verdict::Compatible)]
#[case::two_minors_up("1.2.3", "1.4.0", Verdict::SkippedMinor)]
#[case::one_major_up("1.2.3", "2.0.0", Verdict::Breaking)]
#[case::one_major_up_past_its_first_minor("1.2.3", "2.5.0", Verdict::Breaking)]
#[case::two_majors_up("1.2.3", "3.0.0", Verdict::SkippedMajor)]
#[case::patch_down("1.2.3", "1.2.2", Verdict::Downgrade)]
#[case::minor_down("1.2.3", "1.1.9", Verdict::Downgrade)]
#[case::major_down("2.0.0", "1.9.9", Verdict::Downgrade)]
#[case::to_a_prerelease("1.2.3", "1.3.0-rc.1", Verdict::Prerelease)]
#[case::from_a_prerelease("1.3.0-rc.1", "1.3.0", Verdict::Prerelease)]
#[case::prerelease_down("1.2.3", "1.2.3-rc.1", Verdict::Prerelease)]
fn a_step_is_judged_by_its_numbers(#[case] from: &str, #[case] to: &str, #[case] expected: Verdict) {
    let version = |text: &str| Version::parse(text).expect("should be a version");
    assert_eq!(judge(&version(from), &version(to)), expected);
}

#[test]
fn only_same_compatible_and_breaking_are_allowed() {
    let all = [
        Verdict::Same,
        Verdict::Compatible,
        Verdict::Breaking,
        Verdict::SkippedMinor,
        Verdict::SkippedMajor,
        Verdict::Downgrade,
        Verdict::Prerelease,
    ];
    let allowed: Vec<Verdict> = all.into_iter().filter(|verdict| verdict.is_allowed()).collect();
    assert_eq!(allowed, [Verdict::Same, Verdict::Compatible, Verdict::Breaking]);
}
