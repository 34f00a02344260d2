//! The schemas of `schemas/`, compiled in, so that a replay needs no registry.

use crate::billing::derived_event::DerivedKind;

/// An input type under its three names: CloudEvents `type`, Avro record, schema text.
struct InputType {
    type_name: &'static str,
    record_name: &'static str,
    schema: &'static str,
}

macro_rules! input_types {
    ($($kebab:literal $record:literal)*) => {
        [$(InputType {
            type_name: concat!("meterfold.", $kebab, ".v1"),
            record_name: concat!("meterfold.", $record, "V1"),
            schema: include_str!(concat!("../../../schemas/input/", $kebab, ".v1.avsc")),
        },)*]
    };
}

/// In the order of the table of `interfaces.md` 1, which is also the order of the branches of
/// [`input_union_schema`].
static INPUT_TYPES: [InputType; 14] = input_types! {
    "api-call" "ApiCall"
    "usage-corrected" "UsageCorrected"
    "offering-enrolled" "OfferingEnrolled"
    "postpay-cancelled" "PostpayCancelled"
    "standing-changed" "StandingChanged"
    "downgrade-requested" "DowngradeRequested"
    "hub-created" "HubCreated"
    "app-migrated" "AppMigrated"
    "tokens-purchased" "TokensPurchased"
    "tokens-adjusted" "TokensAdjusted"
    "trial-started" "TrialStarted"
    "credits-purchased" "CreditsPurchased"
    "credits-transferred" "CreditsTransferred"
    "clock-tick" "ClockTick"
};

const DERIVED_SCHEMAS: [&str; 4] = [
    include_str!("../../../schemas/derived/cap-reached.v1.avsc"),
    include_str!("../../../schemas/derived/tokens-depleted.v1.avsc"),
    include_str!("../../../schemas/derived/switched-to-postpay.v1.avsc"),
    include_str!("../../../schemas/derived/monthly-invoice.v1.avsc"),
];

/// Schema texts of all input types.
pub fn input_schemas() -> impl Iterator<Item = &'static str> {
    INPUT_TYPES.iter().map(|input| input.schema)
}

/// Schema texts of all derived events.
pub fn derived_schemas() -> impl Iterator<Item = &'static str> {
    DERIVED_SCHEMAS.into_iter()
}

/// Schema text of a kind of derived event.
pub const fn derived_schema(kind: DerivedKind) -> &'static str {
    let [
        cap_reached,
        tokens_depleted,
        switched_to_postpay,
        monthly_invoice,
    ] = DERIVED_SCHEMAS;
    match kind {
        DerivedKind::CapReached => cap_reached,
        DerivedKind::TokensDepleted => tokens_depleted,
        DerivedKind::SwitchedToPostpay => switched_to_postpay,
        DerivedKind::MonthlyInvoice => monthly_invoice,
    }
}

/// Schema text of an input type, named as in CloudEvents: `meterfold.api-call.v1`.
pub fn input_schema(type_name: &str) -> Option<&'static str> {
    INPUT_TYPES
        .iter()
        .find(|input| input.type_name == type_name)
        .map(|input| input.schema)
}

/// A union of all input types, for a container file that mixes them.
pub fn input_union_schema() -> String {
    let branches: Vec<&str> = input_schemas().map(str::trim_end).collect();
    format!("[{}]", branches.join(","))
}

/// `meterfold.ApiCallV1` to `meterfold.api-call.v1`.
pub(super) fn type_name_of_record(record_name: &str) -> Option<&'static str> {
    INPUT_TYPES
        .iter()
        .find(|input| input.record_name == record_name)
        .map(|input| input.type_name)
}

/// Branch of [`input_union_schema`] that holds a type.
pub(super) fn branch_of_type(type_name: &str) -> Option<usize> {
    INPUT_TYPES
        .iter()
        .position(|input| input.type_name == type_name)
}
