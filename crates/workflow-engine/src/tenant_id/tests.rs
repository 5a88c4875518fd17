use rstest::rstest;

use super::*;

#[rstest]
#[case::a_label("acme", None)]
#[case::digits_and_dashes("a-1-b", None)]
#[case::the_default_tenant("_default", None)]
#[case::empty("", Some(Invalid::Empty))]
#[case::upper_case("Acme", Some(Invalid::NotALabel))]
#[case::quote("a'b", Some(Invalid::NotALabel))]
#[case::leading_dash("-a", Some(Invalid::NotALabel))]
#[case::trailing_dash("a-", Some(Invalid::NotALabel))]
#[case::another_reserved_id("_canary", Some(Invalid::NotALabel))]
#[case::too_long(
    "a123456789012345678901234567890123456789012345678901234567890123",
    Some(Invalid::NotALabel)
)]
#[case::line_break("a\nb", Some(Invalid::NotALabel))]
fn only_labels_name_tenants(#[case] id: &str, #[case] refused: Option<Invalid>) {
    assert_eq!(TenantId::parse(id).err(), refused);
}
