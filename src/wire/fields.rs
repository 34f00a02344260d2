//! The fields of an input event and their checks, in the order and with the details of
//! `interfaces.md` 1.
//!
//! A record is read by its format ([`cloudevents`](super::cloudevents), [`avro`](super::avro)), which
//! says what its fields hold by [`Fields`]; here that becomes an event or a fault, so that the same
//! event gives the same in any format, fault by fault.

use std::borrow::Cow;

use super::span::{Decoded, Span};
use crate::billing::amount::Tokens;
use crate::billing::event::{
    API_CALL_TYPE, AccountKind, Body, CLOCK_TICK_TYPE, DeadLetterReason, Event, Fault, Offering,
    Purpose, Status, USAGE_CORRECTED_TYPE, Usage,
};
use crate::billing::time::Instant;

/// Most characters of a subject.
const SUBJECT_CHARACTERS_MAX: usize = 128;

/// Most tokens, credits or packs of one event.
const COUNT_MAX: i64 = 1_000_000_000_000_000;

/// Lists the fields with their names; a dead letter names a member of `data` with that prefix.
macro_rules! fields {
    (attributes { $($attribute:ident $attribute_name:literal)* } data { $($member:ident $member_name:literal)* }) => {
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Field {
            $($attribute,)*
            $($member,)*
        }

        impl Field {
            const DETAILS: &[&str] = &[$($attribute_name,)* $(concat!("data.", $member_name),)*];
            pub const COUNT: usize = Field::DETAILS.len();

            pub fn of_attribute(name: &str) -> Option<Field> {
                match name {
                    $($attribute_name => Some(Field::$attribute),)*
                    _ => None,
                }
            }

            pub fn of_member(name: &str) -> Option<Field> {
                match name {
                    $($member_name => Some(Field::$member),)*
                    _ => None,
                }
            }
        }
    };
}

fields! {
    attributes {
        SpecVersion "specversion"
        Id "id"
        Source "source"
        Type "type"
        Subject "subject"
        Time "time"
        RecordedTime "recordedtime"
        Data "data"
    }
    data {
        AppId "app_id"
        Api "api"
        Method "method"
        Path "path"
        Engine "engine"
        SourceFormat "source_format"
        Quantity "quantity"
        Status "status"
        HttpStatus "http_status"
        Corrects "corrects"
        Offering "offering"
        Country "country"
        PaymentMethod "payment_method"
        GoodStanding "good_standing"
        Good "good"
        HubId "hub_id"
        Tokens "tokens"
        Delta "delta"
        Reason "reason"
        Purpose "purpose"
        Credits "credits"
        EndsAt "ends_at"
        Channel "channel"
        Pack "pack"
        Packs "packs"
        AccountKind "account_kind"
        Amount "amount"
        Currency "currency"
        ExpiresAt "expires_at"
        To "to"
    }
}

impl Field {
    pub const fn malformed(self) -> Fault {
        Fault::malformed(Field::DETAILS[self as usize])
    }
}

/// What is in `data`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InputType {
    ApiCall,
    UsageCorrected,
    OfferingEnrolled,
    PostpayCancelled,
    StandingChanged,
    DowngradeRequested,
    HubCreated,
    AppMigrated,
    TokensPurchased,
    TokensAdjusted,
    TrialStarted,
    CreditsPurchased,
    CreditsTransferred,
    ClockTick,
}

impl InputType {
    pub fn of_name(name: &str) -> Result<InputType, Fault> {
        Ok(match name {
            API_CALL_TYPE => InputType::ApiCall,
            USAGE_CORRECTED_TYPE => InputType::UsageCorrected,
            "meterfold.offering-enrolled.v1" => InputType::OfferingEnrolled,
            "meterfold.postpay-cancelled.v1" => InputType::PostpayCancelled,
            "meterfold.standing-changed.v1" => InputType::StandingChanged,
            "meterfold.downgrade-requested.v1" => InputType::DowngradeRequested,
            "meterfold.hub-created.v1" => InputType::HubCreated,
            "meterfold.app-migrated.v1" => InputType::AppMigrated,
            "meterfold.tokens-purchased.v1" => InputType::TokensPurchased,
            "meterfold.tokens-adjusted.v1" => InputType::TokensAdjusted,
            "meterfold.trial-started.v1" => InputType::TrialStarted,
            "meterfold.credits-purchased.v1" => InputType::CreditsPurchased,
            "meterfold.credits-transferred.v1" => InputType::CreditsTransferred,
            CLOCK_TICK_TYPE => InputType::ClockTick,
            "" => return Err(Field::Type.malformed()),
            _ => return Err(InputType::UNKNOWN),
        })
    }

    pub const UNKNOWN: Fault = Fault {
        reason: DeadLetterReason::UnknownType,
        detail: "type",
    };
}

/// What the fields of one record hold. None: a value that is not of the wanted form.
pub trait Fields<'a>: Sized {
    /// A member that is null counts as absent.
    fn is_absent(&self, field: Field) -> bool;

    fn text(&self, field: Field) -> Option<Cow<'a, str>>;

    /// The text, where it stays while its batch waits to be folded.
    fn span(&mut self, field: Field) -> Option<Span>;

    fn integer(&self, field: Field) -> Option<i64>;

    fn boolean(&self, field: Field) -> Option<bool>;

    fn instant(&self, field: Field) -> Option<Instant>;

    /// What the format wants of an attribute besides its value; asked when the value is right.
    fn check(&self, attribute: Field) -> Result<(), Fault>;

    /// The fault of a member that is absent or malformed.
    fn malformed(&self, member: Field) -> Fault {
        member.malformed()
    }
}

/// What the trace and the clock want to know of any record, faulty or not.
struct Envelope {
    source: Option<Span>,
    id: Option<Span>,
    /// None for a tick.
    subject: Option<Span>,
    time: Option<Instant>,
    recorded: Option<Instant>,
}

/// Checks the fields of a well-formed record, whose type is as given.
pub fn decoded<'a>(fields: &mut impl Fields<'a>, input_type: Result<InputType, Fault>) -> Decoded {
    let is_tick = input_type == Ok(InputType::ClockTick);
    let envelope = envelope(fields, is_tick);
    let event = event(fields, &envelope, input_type);
    Decoded {
        recorded: envelope.recorded,
        is_tick,
        is_usage: matches!(
            input_type,
            Ok(InputType::ApiCall | InputType::UsageCorrected)
        ),
        source: envelope.source,
        id: envelope.id,
        subject: envelope.subject,
        event,
    }
}

fn envelope<'a>(fields: &mut impl Fields<'a>, is_tick: bool) -> Envelope {
    let time = fields.instant(Field::Time);
    Envelope {
        source: fields.span(Field::Source),
        id: fields.span(Field::Id),
        subject: match is_tick {
            true => None,
            false => fields.span(Field::Subject),
        },
        time,
        recorded: match fields.is_absent(Field::RecordedTime) {
            true => time,
            false => fields.instant(Field::RecordedTime),
        },
    }
}

fn event<'a>(
    fields: &mut impl Fields<'a>,
    envelope: &Envelope,
    input_type: Result<InputType, Fault>,
) -> Result<Event<Span>, Fault> {
    let not_empty = |span: &Span| !span.is_empty();
    fields.check(Field::SpecVersion)?;
    let id = envelope.id.filter(not_empty).ok_or(Field::Id.malformed())?;
    fields.check(Field::Id)?;
    let source = envelope.source.filter(not_empty);
    let source = source.ok_or(Field::Source.malformed())?;
    fields.check(Field::Source)?;
    let input_type = input_type?;
    fields.check(Field::Type)?;
    let team = match input_type {
        InputType::ClockTick => Span::of_side(0, 0),
        _ => team(fields, envelope.subject)?,
    };
    let time = envelope.time.ok_or(Field::Time.malformed())?;
    fields.check(Field::Time)?;
    if envelope.recorded.is_none() {
        return Err(Field::RecordedTime.malformed());
    }
    fields.check(Field::RecordedTime)?;
    fields.check(Field::Data)?;
    let body = body(fields, input_type).map_err(|member| fields.malformed(member))?;
    Ok(Event {
        source,
        id,
        team,
        time,
        body,
    })
}

fn team<'a>(fields: &impl Fields<'a>, subject: Option<Span>) -> Result<Span, Fault> {
    let text = fields.text(Field::Subject).unwrap_or_default();
    let fits =
        text.len() <= SUBJECT_CHARACTERS_MAX || text.chars().count() <= SUBJECT_CHARACTERS_MAX;
    let team = subject.filter(|_| fits && !text.is_empty());
    let team = team.ok_or(Field::Subject.malformed())?;
    fields.check(Field::Subject)?;
    Ok(team)
}

/// Members are read in table order: those of a struct in the order written. An error is the member
/// that is absent or malformed.
fn body<'a>(fields: &mut impl Fields<'a>, input_type: InputType) -> Result<Body<Span>, Field> {
    Ok(match input_type {
        InputType::ApiCall => Body::ApiCall(usage(fields, |fields| {
            Ok(optional(fields, Field::Quantity, integer)?.unwrap_or(1))
        })?),
        InputType::UsageCorrected => Body::UsageCorrected {
            usage: usage(fields, |fields| {
                required(fields, Field::Quantity, correction)
            })?,
            corrects: optional(fields, Field::Corrects, text)?,
        },
        InputType::OfferingEnrolled => Body::OfferingEnrolled(offering(fields)?),
        InputType::PostpayCancelled => Body::PostpayCancelled,
        InputType::StandingChanged => Body::StandingChanged {
            good: required(fields, Field::Good, boolean)?,
        },
        InputType::DowngradeRequested => Body::DowngradeRequested,
        InputType::HubCreated => Body::HubCreated {
            hub_id: required(fields, Field::HubId, name)?,
        },
        InputType::AppMigrated => Body::AppMigrated {
            app_id: required(fields, Field::AppId, name)?,
            hub_id: optional(fields, Field::HubId, text)?,
        },
        InputType::TokensPurchased => Body::TokensPurchased {
            tokens: required(fields, Field::Tokens, count)?,
            amount: optional(fields, Field::Amount, decimal)?,
            currency: optional(fields, Field::Currency, text)?,
            expires_at: optional(fields, Field::ExpiresAt, instant)?,
        },
        InputType::TokensAdjusted => Body::TokensAdjusted {
            delta: required(fields, Field::Delta, decimal)?,
            reason: optional(fields, Field::Reason, text)?,
            purpose: optional(fields, Field::Purpose, |fields, field| {
                one_of(Purpose::ALL, Purpose::name, &fields.text(field)?)
            })?,
        },
        InputType::TrialStarted => Body::TrialStarted {
            credits: required(fields, Field::Credits, count)?,
            ends_at: required(fields, Field::EndsAt, instant)?,
        },
        InputType::CreditsPurchased => Body::CreditsPurchased {
            channel: required(fields, Field::Channel, name)?,
            pack: required(fields, Field::Pack, count)?,
            packs: required(fields, Field::Packs, count)?,
            account_kind: required(fields, Field::AccountKind, |fields, field| {
                one_of(AccountKind::ALL, AccountKind::name, &fields.text(field)?)
            })?,
            amount: optional(fields, Field::Amount, decimal)?,
        },
        InputType::CreditsTransferred => Body::CreditsTransferred {
            to: required(fields, Field::To, name)?,
            credits: required(fields, Field::Credits, count)?,
        },
        InputType::ClockTick => Body::ClockTick,
    })
}

fn usage<'a, F: Fields<'a>>(
    fields: &mut F,
    quantity: impl Fn(&mut F) -> Result<i64, Field>,
) -> Result<Usage<Span>, Field> {
    Ok(Usage {
        app_id: required(fields, Field::AppId, name)?,
        api: optional(fields, Field::Api, text)?,
        method: optional(fields, Field::Method, text)?,
        path: optional(fields, Field::Path, text)?,
        engine: optional(fields, Field::Engine, text)?,
        source_format: optional(fields, Field::SourceFormat, text)?,
        quantity: quantity(fields)?,
        status: optional(fields, Field::Status, |fields, field| {
            one_of(Status::ALL, Status::name, &fields.text(field)?)
        })?
        .unwrap_or(Status::Success),
        http_status: optional(fields, Field::HttpStatus, http_status)?,
    })
}

fn offering<'a>(fields: &mut impl Fields<'a>) -> Result<Offering<Span>, Field> {
    let offering = required(fields, Field::Offering, |fields, field| fields.text(field))?;
    Ok(match &*offering {
        "free" => Offering::Free,
        "prepay" => Offering::Prepay,
        "postpay" => Offering::Postpay {
            country: required(fields, Field::Country, name)?,
            payment_method: required(fields, Field::PaymentMethod, name)?,
            good_standing: required(fields, Field::GoodStanding, boolean)?,
            currency: optional(fields, Field::Currency, text)?,
        },
        _ => return Err(Field::Offering),
    })
}

#[inline]
fn required<'a, F: Fields<'a>, T>(
    fields: &mut F,
    member: Field,
    read: impl Fn(&mut F, Field) -> Option<T>,
) -> Result<T, Field> {
    optional(fields, member, read)?.ok_or(member)
}

#[inline]
fn optional<'a, F: Fields<'a>, T>(
    fields: &mut F,
    member: Field,
    read: impl Fn(&mut F, Field) -> Option<T>,
) -> Result<Option<T>, Field> {
    if fields.is_absent(member) {
        return Ok(None);
    }
    read(fields, member).map(Some).ok_or(member)
}

fn text<'a>(fields: &mut impl Fields<'a>, field: Field) -> Option<Span> {
    fields.span(field)
}

fn name<'a>(fields: &mut impl Fields<'a>, field: Field) -> Option<Span> {
    fields.span(field).filter(|name| !name.is_empty())
}

fn integer<'a>(fields: &mut impl Fields<'a>, field: Field) -> Option<i64> {
    fields.integer(field)
}

fn correction<'a>(fields: &mut impl Fields<'a>, field: Field) -> Option<i64> {
    fields.integer(field).filter(|&quantity| quantity != 0)
}

fn count<'a>(fields: &mut impl Fields<'a>, field: Field) -> Option<u64> {
    let count = fields.integer(field);
    let count = count.filter(|count| (1..=COUNT_MAX).contains(count))?;
    u64::try_from(count).ok()
}

fn http_status<'a>(fields: &mut impl Fields<'a>, field: Field) -> Option<u16> {
    let status = u16::try_from(fields.integer(field)?).ok()?;
    (100..=999).contains(&status).then_some(status)
}

fn boolean<'a>(fields: &mut impl Fields<'a>, field: Field) -> Option<bool> {
    fields.boolean(field)
}

fn decimal<'a>(fields: &mut impl Fields<'a>, field: Field) -> Option<Tokens> {
    Tokens::parse(&fields.text(field)?)
}

fn instant<'a>(fields: &mut impl Fields<'a>, field: Field) -> Option<Instant> {
    fields.instant(field)
}

fn one_of<T: Copy>(
    all: impl IntoIterator<Item = T>,
    name_of: impl Fn(T) -> &'static str,
    name: &str,
) -> Option<T> {
    all.into_iter().find(|value| name_of(*value) == name)
}
