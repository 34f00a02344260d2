//! The checks of one record's fields, in the order and with the details of `interfaces.md` 1.
//!
//! Avro gives the same values as JSON or the same fault; what Avro's encoding leaves no room for
//! (`specversion`, `data` as a member of its own) has no check here.

use super::cursor::Value;
use crate::billing::amount::Tokens;
use crate::billing::event::{
    API_CALL_TYPE, AccountKind, Body, CLOCK_TICK_TYPE, DeadLetterReason, Event, Fault, Offering,
    Purpose, Status, USAGE_CORRECTED_TYPE, Usage,
};
use crate::billing::time::Instant;
use crate::wire::attributes::Attributes;
use crate::wire::span::{Decoded, Span};

/// Most characters of a subject.
const SUBJECT_CHARACTERS_MAX: usize = 128;

/// Most tokens, credits or packs of one event.
const COUNT_MAX: i64 = 1_000_000_000_000_000;

/// Lists the fields of an Avro record, with the name that a dead letter's detail uses.
macro_rules! fields {
    (envelope { $($attribute:ident $attribute_name:literal)* } data { $($member:ident $member_name:literal)* }) => {
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(super) enum Field {
            $($attribute,)*
            $($member,)*
        }

        impl Field {
            const DETAILS: &[&str] = &[$($attribute_name,)* $(concat!("data.", $member_name),)*];
            const COUNT: usize = Field::DETAILS.len();

            pub fn of_name(name: &str) -> Option<Field> {
                match name {
                    $($attribute_name => Some(Field::$attribute),)*
                    $($member_name => Some(Field::$member),)*
                    _ => None,
                }
            }
        }
    };
}

fields! {
    envelope {
        Id "id"
        Source "source"
        Subject "subject"
        Time "time"
        RecordedTime "recordedtime"
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
    pub const fn detail(self) -> &'static str {
        Field::DETAILS[self as usize]
    }

    const fn malformed(self) -> Fault {
        Fault::malformed(self.detail())
    }
}

/// Reads the members of one type.
pub(super) type BodyReader = fn(&mut Reader<'_, '_>) -> Result<Body<Span>, Fault>;

pub(super) fn body_reader(type_name: &str) -> Option<BodyReader> {
    Some(match type_name {
        API_CALL_TYPE => |reader| reader.api_call(),
        USAGE_CORRECTED_TYPE => |reader| reader.usage_corrected(),
        "meterfold.offering-enrolled.v1" => |reader| reader.offering_enrolled(),
        "meterfold.postpay-cancelled.v1" => |_| Ok(Body::PostpayCancelled),
        "meterfold.standing-changed.v1" => |reader| reader.standing_changed(),
        "meterfold.downgrade-requested.v1" => |_| Ok(Body::DowngradeRequested),
        "meterfold.hub-created.v1" => |reader| reader.hub_created(),
        "meterfold.app-migrated.v1" => |reader| reader.app_migrated(),
        "meterfold.tokens-purchased.v1" => |reader| reader.tokens_purchased(),
        "meterfold.tokens-adjusted.v1" => |reader| reader.tokens_adjusted(),
        "meterfold.trial-started.v1" => |reader| reader.trial_started(),
        "meterfold.credits-purchased.v1" => |reader| reader.credits_purchased(),
        "meterfold.credits-transferred.v1" => |reader| reader.credits_transferred(),
        CLOCK_TICK_TYPE => |_| Ok(Body::ClockTick),
        _ => return None,
    })
}

/// The fields of one datum, and where text goes.
pub(super) struct Reader<'a, 'side> {
    values: [Value<'a>; Field::COUNT],
    side: &'side mut String,
    /// Attributes that must be equal.
    pub(super) beside: Option<&'side Attributes<'side>>,
}

/// What the trace and the clock want to know of any record, faulty or not.
struct Envelope {
    is_tick: bool,
    source: Option<Span>,
    id: Option<Span>,
    subject: Option<Span>,
    time: Option<Instant>,
    recorded: Option<Instant>,
}

impl<'a, 'side> Reader<'a, 'side> {
    pub fn new(
        side: &'side mut String,
        beside: Option<&'side Attributes<'side>>,
    ) -> Reader<'a, 'side> {
        Reader {
            values: [Value::Absent; Field::COUNT],
            side,
            beside,
        }
    }

    pub fn value_mut(&mut self, field: Field) -> &mut Value<'a> {
        &mut self.values[field as usize]
    }

    /// Checks the fields that were read, and those beside them. `body` is the record's type and how to read its members;
    /// None is the unknown type.
    pub fn decoded(&mut self, body: Option<(&'static str, BodyReader)>) -> Decoded {
        let type_name = body.map_or("", |(type_name, _)| type_name);
        let envelope = self.envelope(type_name == CLOCK_TICK_TYPE);
        let side_len = self.side.len();
        let event = self.event(&envelope, body);
        if event.is_err() {
            self.side.truncate(side_len);
        }
        let Envelope {
            recorded,
            is_tick,
            source,
            id,
            subject,
            ..
        } = envelope;
        Decoded {
            recorded,
            is_tick,
            is_usage: matches!(type_name, API_CALL_TYPE | USAGE_CORRECTED_TYPE),
            source,
            id,
            subject,
            event,
        }
    }

    fn envelope(&mut self, is_tick: bool) -> Envelope {
        let subject = if is_tick {
            Value::Absent
        } else {
            self.field(Field::Subject)
        };
        let time = self.instant(self.field(Field::Time));
        let recorded = match self.field(Field::RecordedTime) {
            Value::Absent => time,
            value => self.instant(value),
        };
        Envelope {
            is_tick,
            source: self.span(self.field(Field::Source)),
            id: self.span(self.field(Field::Id)),
            subject: self.span(subject),
            time,
            recorded,
        }
    }

    fn event(
        &mut self,
        envelope: &Envelope,
        body: Option<(&'static str, BodyReader)>,
    ) -> Result<Event<Span>, Fault> {
        let not_empty = |span: &Span| !span.is_empty();
        let version = |beside: &[u8]| beside == b"1.0";
        self.agrees(|beside| beside.specversion, "specversion", version)?;
        let id = envelope.id.filter(not_empty).ok_or(Field::Id.malformed())?;
        self.text_agrees(|beside| beside.id, Field::Id)?;
        let source = envelope
            .source
            .filter(not_empty)
            .ok_or(Field::Source.malformed())?;
        self.text_agrees(|beside| beside.source, Field::Source)?;
        let unknown_type = Fault {
            reason: DeadLetterReason::UnknownType,
            detail: "type",
        };
        let (type_name, read_body) = body.ok_or(unknown_type)?;
        self.agrees(
            |beside| beside.type_name,
            "type",
            |beside| beside == type_name.as_bytes(),
        )?;
        let team = if envelope.is_tick {
            Span::of_side(self.side.len(), 0)
        } else {
            let team = self.team(envelope.subject)?;
            self.text_agrees(|beside| beside.subject, Field::Subject)?;
            team
        };
        let time = envelope.time.ok_or(Field::Time.malformed())?;
        self.instant_agrees(|beside| beside.time, Field::Time, time)?;
        let recorded = envelope.recorded.ok_or(Field::RecordedTime.malformed())?;
        self.instant_agrees(|beside| beside.recordedtime, Field::RecordedTime, recorded)?;
        let body = read_body(self)?;
        Ok(Event {
            source,
            id,
            team,
            time,
            body,
        })
    }

    fn team(&self, subject: Option<Span>) -> Result<Span, Fault> {
        let text = self.text(self.field(Field::Subject)).unwrap_or_default();
        let fits =
            text.len() <= SUBJECT_CHARACTERS_MAX || text.chars().count() <= SUBJECT_CHARACTERS_MAX;
        subject
            .filter(|_| fits && !text.is_empty())
            .ok_or(Field::Subject.malformed())
    }
}

/// The bodies, each with its members in table order: struct fields are read in the order written.
impl Reader<'_, '_> {
    fn api_call(&mut self) -> Result<Body<Span>, Fault> {
        Ok(Body::ApiCall(self.usage(|reader| {
            let quantity = reader.optional(Field::Quantity, Reader::integer)?;
            Ok(quantity.unwrap_or(1))
        })?))
    }

    fn usage_corrected(&mut self) -> Result<Body<Span>, Fault> {
        Ok(Body::UsageCorrected {
            usage: self.usage(|reader| reader.required(Field::Quantity, Reader::correction))?,
            corrects: self.optional(Field::Corrects, Reader::span)?,
        })
    }

    fn usage(
        &mut self,
        quantity: impl Fn(&mut Self) -> Result<i64, Fault>,
    ) -> Result<Usage<Span>, Fault> {
        Ok(Usage {
            app_id: self.required(Field::AppId, Reader::name)?,
            api: self.optional(Field::Api, Reader::span)?,
            method: self.optional(Field::Method, Reader::span)?,
            path: self.optional(Field::Path, Reader::span)?,
            engine: self.optional(Field::Engine, Reader::span)?,
            source_format: self.optional(Field::SourceFormat, Reader::span)?,
            quantity: quantity(self)?,
            status: self
                .optional(Field::Status, Reader::status)?
                .unwrap_or(Status::Success),
            http_status: self.optional(Field::HttpStatus, Reader::http_status)?,
        })
    }

    fn offering_enrolled(&mut self) -> Result<Body<Span>, Fault> {
        let offering = self.required(Field::Offering, |reader, value| reader.text(value))?;
        Ok(Body::OfferingEnrolled(match offering {
            "free" => Offering::Free,
            "prepay" => Offering::Prepay,
            "postpay" => Offering::Postpay {
                country: self.required(Field::Country, Reader::name)?,
                payment_method: self.required(Field::PaymentMethod, Reader::name)?,
                good_standing: self.required(Field::GoodStanding, Reader::boolean)?,
                currency: self.optional(Field::Currency, Reader::span)?,
            },
            _ => return Err(Field::Offering.malformed()),
        }))
    }

    fn standing_changed(&mut self) -> Result<Body<Span>, Fault> {
        Ok(Body::StandingChanged {
            good: self.required(Field::Good, Reader::boolean)?,
        })
    }

    fn hub_created(&mut self) -> Result<Body<Span>, Fault> {
        Ok(Body::HubCreated {
            hub_id: self.required(Field::HubId, Reader::name)?,
        })
    }

    fn app_migrated(&mut self) -> Result<Body<Span>, Fault> {
        Ok(Body::AppMigrated {
            app_id: self.required(Field::AppId, Reader::name)?,
            hub_id: self.optional(Field::HubId, Reader::span)?,
        })
    }

    fn tokens_purchased(&mut self) -> Result<Body<Span>, Fault> {
        Ok(Body::TokensPurchased {
            tokens: self.required(Field::Tokens, Reader::count)?,
            amount: self.optional(Field::Amount, Reader::decimal)?,
            currency: self.optional(Field::Currency, Reader::span)?,
            expires_at: self.optional(Field::ExpiresAt, Reader::instant)?,
        })
    }

    fn tokens_adjusted(&mut self) -> Result<Body<Span>, Fault> {
        Ok(Body::TokensAdjusted {
            delta: self.required(Field::Delta, Reader::decimal)?,
            reason: self.optional(Field::Reason, Reader::span)?,
            purpose: self.optional(Field::Purpose, Reader::purpose)?,
        })
    }

    fn trial_started(&mut self) -> Result<Body<Span>, Fault> {
        Ok(Body::TrialStarted {
            credits: self.required(Field::Credits, Reader::count)?,
            ends_at: self.required(Field::EndsAt, Reader::instant)?,
        })
    }

    fn credits_purchased(&mut self) -> Result<Body<Span>, Fault> {
        Ok(Body::CreditsPurchased {
            channel: self.required(Field::Channel, Reader::name)?,
            pack: self.required(Field::Pack, Reader::count)?,
            packs: self.required(Field::Packs, Reader::count)?,
            account_kind: self.required(Field::AccountKind, Reader::account_kind)?,
            amount: self.optional(Field::Amount, Reader::decimal)?,
        })
    }

    fn credits_transferred(&mut self) -> Result<Body<Span>, Fault> {
        Ok(Body::CreditsTransferred {
            to: self.required(Field::To, Reader::name)?,
            credits: self.required(Field::Credits, Reader::count)?,
        })
    }
}

/// Single values: None means that the value is not of the wanted form or out of range.
impl<'a> Reader<'a, '_> {
    fn required<T>(
        &mut self,
        field: Field,
        read: impl Fn(&mut Self, Value<'a>) -> Option<T>,
    ) -> Result<T, Fault> {
        self.optional(field, read)?.ok_or(field.malformed())
    }

    fn optional<T>(
        &mut self,
        field: Field,
        read: impl Fn(&mut Self, Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, Fault> {
        match self.field(field) {
            Value::Absent => Ok(None),
            value => read(self, value).map(Some).ok_or(field.malformed()),
        }
    }

    pub fn field(&self, field: Field) -> Value<'a> {
        self.values[field as usize]
    }

    pub fn text(&self, value: Value<'a>) -> Option<&'a str> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn span(&mut self, value: Value<'a>) -> Option<Span> {
        Some(Span::push_side(self.side, self.text(value)?))
    }

    fn name(&mut self, value: Value<'a>) -> Option<Span> {
        self.span(value).filter(|name| !name.is_empty())
    }

    fn integer(&mut self, value: Value<'a>) -> Option<i64> {
        match value {
            Value::Integer(integer) => Some(integer),
            _ => None,
        }
    }

    fn correction(&mut self, value: Value<'a>) -> Option<i64> {
        self.integer(value).filter(|&quantity| quantity != 0)
    }

    fn count(&mut self, value: Value<'a>) -> Option<u64> {
        let count = self
            .integer(value)
            .filter(|count| (1..=COUNT_MAX).contains(count))?;
        u64::try_from(count).ok()
    }

    fn http_status(&mut self, value: Value<'a>) -> Option<u16> {
        let status = u16::try_from(self.integer(value)?).ok()?;
        (100..=999).contains(&status).then_some(status)
    }

    fn boolean(&mut self, value: Value<'a>) -> Option<bool> {
        match value {
            Value::Boolean(boolean) => Some(boolean),
            _ => None,
        }
    }

    fn decimal(&mut self, value: Value<'a>) -> Option<Tokens> {
        Tokens::parse(self.text(value)?)
    }

    fn instant(&mut self, value: Value<'a>) -> Option<Instant> {
        match value {
            Value::Timestamp(millis) => {
                let range = Instant::EPOCH.millis()..Instant::END.millis();
                range
                    .contains(&millis)
                    .then_some(Instant::from_millis(millis))
            }
            value => Instant::parse(self.text(value)?),
        }
    }

    fn status(&mut self, value: Value<'a>) -> Option<Status> {
        let name = self.text(value)?;
        Status::ALL.into_iter().find(|status| status.name() == name)
    }

    fn purpose(&mut self, value: Value<'a>) -> Option<Purpose> {
        let name = self.text(value)?;
        Purpose::ALL
            .into_iter()
            .find(|purpose| purpose.name() == name)
    }

    fn account_kind(&mut self, value: Value<'a>) -> Option<AccountKind> {
        let name = self.text(value)?;
        AccountKind::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}
