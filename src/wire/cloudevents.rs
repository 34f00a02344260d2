//! Input events in the JSON form of CloudEvents 1.0 (`interfaces.md` 1).
//!
//! Form and range are checked here, in the order that the specification gives, so that a faulty
//! record names the same field wherever it is read. What a rate book, a team's state or the clock
//! would refuse is accepted: that is the fold's matter. Readers of files and Kafka records call this;
//! for the binary mode of Kafka records see [`decode_binary`].

mod binary;

use std::borrow::Cow;

pub use binary::decode_binary;

use super::fields::{self, Field, Fields, InputType};
use super::json::{Kind, Malformed, Scanner, Value};
use super::span::{Decoded, Span};
use crate::billing::event::Fault;
use crate::billing::time::Instant;

/// Most bytes of a record; beyond it nothing of the record is read.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// Decodes the record `input[start..end]`. Spans point into `input`, or into `side` where text had
/// to be unescaped; `side` grows by less than the record's length.
pub fn decode(input: &str, start: usize, end: usize, side: &mut String) -> Decoded {
    let Some(record) = input.get(start..end) else {
        return Decoded::unreadable();
    };
    if record.len() > RECORD_BYTES_MAX {
        return Decoded::unreadable();
    }
    let mut reader = Reader {
        record,
        start,
        side,
        values: [Value::MISSING; Field::COUNT],
    };
    match scan(record, &mut reader.values) {
        Ok(()) => reader.decoded(),
        Err(Malformed) => Decoded::unreadable(),
    }
}

/// Finds the fields of a record. Members of `data` may stand before the type that gives them
/// meaning, so all are looked up first and read afterwards.
fn scan(record: &str, values: &mut [Value; Field::COUNT]) -> Result<(), Malformed> {
    Scanner::new(record).document(|scanner, name| {
        let Some(attribute) = Field::of_attribute(name) else {
            return Ok(false);
        };
        let value = match attribute {
            Field::Data => scan_data(scanner, values)?,
            _ => scanner.value()?,
        };
        set_once(&mut values[attribute as usize], value)
    })
}

fn scan_data(
    scanner: &mut Scanner<'_>,
    values: &mut [Value; Field::COUNT],
) -> Result<Value, Malformed> {
    scanner.value_with(|scanner, name| match Field::of_member(name) {
        Some(member) => set_once(&mut values[member as usize], scanner.value()?),
        None => Ok(false),
    })
}

fn set_once(field: &mut Value, value: Value) -> Result<bool, Malformed> {
    if field.kind != Kind::Missing {
        return Err(Malformed);
    }
    *field = value;
    Ok(true)
}

/// The fields of one well-formed record, and where unescaped text goes.
struct Reader<'a> {
    record: &'a str,
    start: usize,
    side: &'a mut String,
    values: [Value; Field::COUNT],
}

impl Reader<'_> {
    fn decoded(&mut self) -> Decoded {
        let type_name = self.text(Field::Type).unwrap_or_default();
        let input_type = InputType::of_name(&type_name);
        fields::decoded(self, input_type)
    }

    const fn value(&self, field: Field) -> Value {
        self.values[field as usize]
    }
}

impl<'a> Fields<'a> for Reader<'a> {
    #[inline]
    fn is_absent(&self, field: Field) -> bool {
        matches!(self.value(field).kind, Kind::Missing | Kind::Null)
    }

    fn text(&self, field: Field) -> Option<Cow<'a, str>> {
        self.value(field).text(self.record)
    }

    #[inline]
    fn span(&mut self, field: Field) -> Option<Span> {
        let value = self.value(field);
        match value.kind {
            Kind::Plain => Some(Span::of_input(
                self.start + value.place().start,
                value.place().len(),
            )),
            Kind::Escaped => Some(Span::push_side(self.side, &self.text(field)?)),
            _ => None,
        }
    }

    fn integer(&self, field: Field) -> Option<i64> {
        self.value(field).integer(self.record)
    }

    fn boolean(&self, field: Field) -> Option<bool> {
        match self.value(field).kind {
            Kind::True => Some(true),
            Kind::False => Some(false),
            _ => None,
        }
    }

    fn instant(&self, field: Field) -> Option<Instant> {
        Instant::parse(&self.text(field)?)
    }

    fn check(&self, attribute: Field) -> Result<(), Fault> {
        let is_right = match attribute {
            Field::SpecVersion => self.text(attribute).as_deref() == Some("1.0"),
            Field::Data => self.is_absent(attribute) || self.value(attribute).kind == Kind::Object,
            _ => true,
        };
        match is_right {
            true => Ok(()),
            false => Err(attribute.malformed()),
        }
    }

    /// A type that needs no member may be without data; any other misses all of it.
    fn malformed(&self, member: Field) -> Fault {
        match self.is_absent(Field::Data) {
            true => Field::Data.malformed(),
            false => member.malformed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billing::amount::Tokens;
    use crate::billing::event::{
        AccountKind, Body, DeadLetterReason, Event, Offering, Purpose, Status, Usage,
    };
    use crate::wire::span::Text;
    use proptest::prelude::*;

    const TIME: &str = "2026-01-10T10:00:00Z";

    struct Read {
        text: Text,
        decoded: Decoded,
    }

    impl Read {
        fn get(&self, span: Option<Span>) -> Option<&str> {
            span.map(|span| self.text.get(span))
        }

        fn event(&self) -> Event<&str> {
            match &self.decoded.event {
                Ok(event) => event.map(|span| self.text.get(span)),
                Err(fault) => panic!("{fault:?}: {}", self.text.input),
            }
        }

        fn detail(&self) -> &'static str {
            match &self.decoded.event {
                Ok(event) => panic!("no fault in {event:?}"),
                Err(fault) => fault.detail,
            }
        }
    }

    /// Reads a record that stands between others.
    fn read(record: &str) -> Read {
        let (before, after) = ("é before\n", "\nafter");
        let mut side = "é side".to_owned();
        let input = format!("{before}{record}{after}");
        let decoded = decode(&input, before.len(), before.len() + record.len(), &mut side);
        assert!(side.len() <= "é side".len() + record.len(), "{record}");
        Read {
            text: Text { input, side },
            decoded,
        }
    }

    fn at(text: &str) -> Instant {
        Instant::parse(text).expect("an instant")
    }

    fn tokens(text: &str) -> Tokens {
        Tokens::parse(text).expect("an amount")
    }

    /// A record of `type_name` with the members of its data in `data`.
    fn record(type_name: &str, data: &str) -> String {
        format!(
            r#"{{"specversion":"1.0","id":"e-1","source":"/gw","type":"meterfold.{type_name}.v1","subject":"team-7","time":"{TIME}","data":{{{data}}}}}"#
        )
    }

    fn usage(app_id: &str, quantity: i64) -> Usage<&str> {
        Usage {
            app_id,
            api: None,
            method: None,
            path: None,
            engine: None,
            source_format: None,
            quantity,
            status: Status::Success,
            http_status: None,
        }
    }

    fn full_usage() -> Usage<&'static str> {
        Usage {
            api: Some("automation"),
            method: Some("POST"),
            path: Some("/da/v3"),
            engine: Some(""),
            source_format: Some("rvt"),
            status: Status::CancelledAfterStart,
            http_status: Some(999),
            ..usage("app-1", -5)
        }
    }

    const FULL_USAGE: &str = r#""app_id":"app-1","api":"automation","method":"POST","path":"/da/v3","engine":"",
        "source_format":"rvt","quantity":-5,"status":"cancelled_after_start","http_status":999,"corrects":"e-0""#;

    #[test]
    fn reads_the_example_of_the_specification() {
        let read = read(
            r#"{"specversion":"1.0","id":"c-1","source":"/gateway/eu-1","type":"meterfold.api-call.v1","subject":"team-7","time":"2026-01-10T10:00:00Z",
 "data":{"app_id":"app-1","api":"automation","engine":"autocad","quantity":720,"status":"success"}}"#,
        );
        let usage = Usage {
            api: Some("automation"),
            engine: Some("autocad"),
            ..usage("app-1", 720)
        };
        let expected = Event {
            source: "/gateway/eu-1",
            id: "c-1",
            team: "team-7",
            time: at(TIME),
            body: Body::ApiCall(usage),
        };
        assert_eq!(read.event(), expected);
        assert_eq!(read.decoded.recorded, Some(at(TIME)));
        assert_eq!(read.text.side, "é side");
        assert!(!read.decoded.is_tick);
    }

    #[test]
    fn reads_the_body_of_every_type() {
        let postpay = |currency| {
            Body::OfferingEnrolled(Offering::Postpay {
                country: "JP",
                payment_method: "card",
                good_standing: false,
                currency,
            })
        };
        let count_max = 1_000_000_000_000_000;
        for (type_name, data, expected) in [
            ("api-call", FULL_USAGE, Body::ApiCall(full_usage())),
            (
                "api-call",
                r#""app_id":"a","quantity":null,"status":null,"api":null"#,
                Body::ApiCall(usage("a", 1)),
            ),
            (
                "api-call",
                r#""app_id":"a","quantity":-9223372036854775808"#,
                Body::ApiCall(usage("a", i64::MIN)),
            ),
            (
                "api-call",
                r#""app_id":"a","quantity":0,"corrects":5,"good":1e999"#,
                Body::ApiCall(usage("a", 0)),
            ),
            (
                "usage-corrected",
                FULL_USAGE,
                Body::UsageCorrected {
                    usage: full_usage(),
                    corrects: Some("e-0"),
                },
            ),
            (
                "usage-corrected",
                r#""app_id":"a","quantity":9223372036854775807"#,
                Body::UsageCorrected {
                    usage: usage("a", i64::MAX),
                    corrects: None,
                },
            ),
            (
                "offering-enrolled",
                r#""offering":"free","country":5,"payment_method":"","good_standing":[],"currency":{}"#,
                Body::OfferingEnrolled(Offering::Free),
            ),
            (
                "offering-enrolled",
                r#""country":5,"offering":"prepay""#,
                Body::OfferingEnrolled(Offering::Prepay),
            ),
            (
                "offering-enrolled",
                r#""offering":"postpay","country":"JP","payment_method":"card","good_standing":false,"currency":"JPY""#,
                postpay(Some("JPY")),
            ),
            (
                "offering-enrolled",
                r#""good_standing":false,"payment_method":"card","country":"JP","offering":"postpay""#,
                postpay(None),
            ),
            (
                "postpay-cancelled",
                r#""offering":7"#,
                Body::PostpayCancelled,
            ),
            (
                "standing-changed",
                r#""good":true"#,
                Body::StandingChanged { good: true },
            ),
            ("downgrade-requested", "", Body::DowngradeRequested),
            (
                "hub-created",
                r#""hub_id":"h""#,
                Body::HubCreated { hub_id: "h" },
            ),
            (
                "app-migrated",
                r#""app_id":"a","hub_id":"""#,
                Body::AppMigrated {
                    app_id: "a",
                    hub_id: Some(""),
                },
            ),
            (
                "app-migrated",
                r#""app_id":"a""#,
                Body::AppMigrated {
                    app_id: "a",
                    hub_id: None,
                },
            ),
            (
                "tokens-purchased",
                r#""tokens":1,"amount":"-3.50","currency":"USD","expires_at":"2026-01-10T11:00:00+01:00""#,
                Body::TokensPurchased {
                    tokens: 1,
                    amount: Some(tokens("-3.5")),
                    currency: Some("USD"),
                    expires_at: Some(at(TIME)),
                },
            ),
            (
                "tokens-purchased",
                r#""tokens":1000000000000000"#,
                Body::TokensPurchased {
                    tokens: count_max,
                    amount: None,
                    currency: None,
                    expires_at: None,
                },
            ),
            (
                "tokens-adjusted",
                r#""delta":"-0.000001","reason":"","purpose":"subscription""#,
                Body::TokensAdjusted {
                    delta: tokens("-0.000001"),
                    reason: Some(""),
                    purpose: Some(Purpose::Subscription),
                },
            ),
            (
                "tokens-adjusted",
                r#""delta":"0","purpose":"api""#,
                Body::TokensAdjusted {
                    delta: tokens("0"),
                    reason: None,
                    purpose: Some(Purpose::Api),
                },
            ),
            (
                "trial-started",
                r#""credits":5,"ends_at":"2026-01-10t10:00:00.0z""#,
                Body::TrialStarted {
                    credits: 5,
                    ends_at: at(TIME),
                },
            ),
            (
                "credits-purchased",
                r#""channel":"store","pack":100,"packs":2,"account_kind":"maintenance","amount":"1""#,
                Body::CreditsPurchased {
                    channel: "store",
                    pack: 100,
                    packs: 2,
                    account_kind: AccountKind::Maintenance,
                    amount: Some(tokens("1")),
                },
            ),
            (
                "credits-transferred",
                r#""credits":1,"to":"team-8""#,
                Body::CreditsTransferred {
                    to: "team-8",
                    credits: 1,
                },
            ),
            ("clock-tick", r#""app_id":5"#, Body::ClockTick),
        ] {
            assert_eq!(
                read(&record(type_name, data)).event().body,
                expected,
                "{type_name} {data}"
            );
        }
    }

    #[test]
    fn every_faulty_member_is_named() {
        let correction = r#""app_id":"a","quantity":1"#;
        let postpay =
            r#""offering":"postpay","country":"JP","payment_method":"card","good_standing":true"#;
        let credits = r#""channel":"store","pack":1,"packs":1,"account_kind":"forge""#;
        for (type_name, valid, member, faulty) in [
            (
                "api-call",
                r#""app_id":"a""#,
                "app_id",
                r#""" 5 [] {} null true"#,
            ),
            ("api-call", r#""app_id":"a""#, "api", "5 [] {} false"),
            ("api-call", r#""app_id":"a""#, "method", "5"),
            ("api-call", r#""app_id":"a""#, "path", "5"),
            ("api-call", r#""app_id":"a""#, "engine", "5"),
            ("api-call", r#""app_id":"a""#, "source_format", "5"),
            (
                "api-call",
                r#""app_id":"a""#,
                "quantity",
                r#"1.0 1e3 -0 true "1" 9223372036854775808 -9223372036854775809 [] {}"#,
            ),
            (
                "api-call",
                r#""app_id":"a""#,
                "status",
                r#""" "SUCCESS" "succes" 5"#,
            ),
            (
                "api-call",
                r#""app_id":"a""#,
                "http_status",
                r#"99 1000 -200 200.0 "200" 65736"#,
            ),
            ("usage-corrected", correction, "app_id", "null 5"),
            ("usage-corrected", correction, "quantity", "null 0 -0 1.5"),
            ("usage-corrected", correction, "http_status", "0"),
            ("usage-corrected", correction, "corrects", "5"),
            (
                "offering-enrolled",
                postpay,
                "offering",
                r#"null "" "Free" {}"#,
            ),
            ("offering-enrolled", postpay, "country", r#"null "" 5"#),
            (
                "offering-enrolled",
                postpay,
                "payment_method",
                r#"null "" 5"#,
            ),
            (
                "offering-enrolled",
                postpay,
                "good_standing",
                r#"null "true" 1"#,
            ),
            ("offering-enrolled", postpay, "currency", "5"),
            (
                "standing-changed",
                r#""good":true"#,
                "good",
                r#"null [] "false" 0"#,
            ),
            ("hub-created", r#""hub_id":"h""#, "hub_id", r#"null "" 5"#),
            ("app-migrated", r#""app_id":"a""#, "app_id", r#"null "" 5"#),
            ("app-migrated", r#""app_id":"a""#, "hub_id", "5"),
            (
                "tokens-purchased",
                r#""tokens":1"#,
                "tokens",
                r#"null 0 -1 1000000000000001 "1" 1.0"#,
            ),
            (
                "tokens-purchased",
                r#""tokens":1"#,
                "amount",
                r#"5 "" "01" "1e3" "1.0000000" "+1""#,
            ),
            ("tokens-purchased", r#""tokens":1"#, "currency", "5"),
            (
                "tokens-purchased",
                r#""tokens":1"#,
                "expires_at",
                r#"5 "" "2026-01-10" "2200-01-01T00:00:00Z""#,
            ),
            (
                "tokens-adjusted",
                r#""delta":"1""#,
                "delta",
                r#"null 1 "1." "1000000000000000.1""#,
            ),
            ("tokens-adjusted", r#""delta":"1""#, "reason", "5"),
            (
                "tokens-adjusted",
                r#""delta":"1""#,
                "purpose",
                r#""API" "" 5"#,
            ),
            (
                "trial-started",
                r#""credits":1,"ends_at":"2026-01-10T10:00:00Z""#,
                "credits",
                "null 0",
            ),
            (
                "trial-started",
                r#""credits":1,"ends_at":"2026-01-10T10:00:00Z""#,
                "ends_at",
                r#"null "2026-02-29T00:00:00Z""#,
            ),
            ("credits-purchased", credits, "channel", r#"null "" 5"#),
            ("credits-purchased", credits, "pack", "null 0"),
            ("credits-purchased", credits, "packs", "null 0"),
            (
                "credits-purchased",
                credits,
                "account_kind",
                r#"null "Forge""#,
            ),
            ("credits-purchased", credits, "amount", "1"),
            (
                "credits-transferred",
                r#""to":"b","credits":1"#,
                "to",
                r#"null "" 5"#,
            ),
            (
                "credits-transferred",
                r#""to":"b","credits":1"#,
                "credits",
                "null 0",
            ),
        ] {
            read(&record(type_name, valid)).event();
            let others: Vec<&str> = valid
                .split(',')
                .filter(|other| !other.starts_with(&format!("\"{member}\"")))
                .collect();
            for value in faulty.split(' ') {
                let mut members = others.clone();
                let faulty = format!("\"{member}\":{value}");
                members.push(&faulty);
                let detail = read(&record(type_name, &members.join(","))).detail();
                assert_eq!(detail, format!("data.{member}"), "{type_name} {members:?}");
            }
        }
    }

    /// Attributes of a valid record in the order of their checks, with a faulty value of each.
    const CHECKS: [(&str, &str, &str); 8] = [
        ("specversion", r#""1.0""#, r#""1""#),
        ("id", r#""e-1""#, r#""""#),
        ("source", r#""/gw""#, "5"),
        (
            "type",
            r#""meterfold.hub-created.v1""#,
            r#""meterfold.hub-created.v2""#,
        ),
        ("subject", r#""team-7""#, "null"),
        (
            "time",
            r#""2026-01-10T10:00:00Z""#,
            r#""2026-01-10T10:00:60Z""#,
        ),
        ("recordedtime", r#""2026-01-10T10:00:01Z""#, "5"),
        ("data", r#"{"hub_id":"h"}"#, "[]"),
    ];

    /// The record of those attributes in which `value_of` gives each its value; none: left out.
    fn attributes<'a>(value_of: impl Fn(usize) -> Option<&'a str>) -> String {
        let members: Vec<String> = (0..CHECKS.len())
            .rev()
            .filter_map(|index| Some(format!("\"{}\":{}", CHECKS[index].0, value_of(index)?)))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    #[test]
    fn the_first_fault_in_the_order_of_checks_is_reported() {
        read(&attributes(|index| Some(CHECKS[index].1))).event();
        for (first, (name, _, faulty)) in CHECKS.into_iter().enumerate() {
            let all_from_here = attributes(|index| {
                Some(if index < first {
                    CHECKS[index].1
                } else {
                    CHECKS[index].2
                })
            });
            assert_eq!(read(&all_from_here).detail(), name);
            for value in [
                Some(faulty),
                Some("null"),
                None,
                Some("5"),
                Some("\"\""),
                Some("true"),
            ] {
                let only_this = read(&attributes(|index| {
                    if index == first {
                        value
                    } else {
                        Some(CHECKS[index].1)
                    }
                }));
                let may_be_absent = name == "recordedtime" && matches!(value, None | Some("null"));
                if !may_be_absent {
                    assert_eq!(only_this.detail(), name, "{value:?}");
                    assert_eq!(only_this.decoded.recorded.is_none(), name == "recordedtime");
                } else {
                    only_this.event();
                }
            }
        }
    }

    #[test]
    fn unknown_types_and_types_without_text() {
        for (type_name, reason) in [
            (r#""meterfold.api-call.v2""#, DeadLetterReason::UnknownType),
            (r#""Meterfold.api-call.v1""#, DeadLetterReason::UnknownType),
            (r#"" ""#, DeadLetterReason::UnknownType),
            (r#""""#, DeadLetterReason::Malformed),
            ("{}", DeadLetterReason::Malformed),
        ] {
            let read = read(&attributes(|index| {
                Some(if index == 3 {
                    type_name
                } else {
                    CHECKS[index].1
                })
            }));
            assert_eq!(
                read.decoded.event,
                Err(Fault {
                    reason,
                    detail: "type"
                })
            );
            assert_eq!(read.get(read.decoded.subject), Some("team-7"));
        }
    }

    #[test]
    fn a_fault_leaves_what_is_readable_to_the_trace() {
        let read = read(
            r#"{"subject":"","id":"","source":"a\"b","time":"2026-01-10T10:00:00Z","type":"?"}"#,
        );
        assert_eq!(read.detail(), "specversion");
        assert_eq!(read.get(read.decoded.id), Some(""));
        assert_eq!(read.get(read.decoded.source), Some("a\"b"));
        assert_eq!(read.get(read.decoded.subject), Some(""));
        assert_eq!(read.decoded.recorded, Some(at(TIME)));
    }

    #[test]
    fn a_record_that_is_no_object_is_not_read_at_all() {
        let valid = record("hub-created", r#""hub_id":"h""#);
        for faulty in [
            String::new(),
            " \r".into(),
            "[1]".into(),
            format!("\u{feff}{valid}"),
            format!("{valid}x"),
            valid.replace(r#""id":"#, r#""id":"first","id":"#),
            valid.replace(r#""id":"#, r#""id":null,"\u0069d":"#),
            valid.replace(r#""hub_id":"#, r#""hub_id":"g","hub_id":"#),
            valid.replace(r#""hub_id":"#, r#""x":{"y":[{"z":1,"z":1}]},"hub_id":"#),
            valid.replace("team-7", r"\ud800"),
            valid.replace("team-7", "\t"),
            valid.replace('}', ""),
        ] {
            let Decoded {
                recorded,
                is_tick,
                is_usage,
                source,
                id,
                subject,
                event,
            } = read(&faulty).decoded;
            assert_eq!(
                (recorded, is_tick, is_usage, source, id, subject),
                (None, false, false, None, None, None)
            );
            assert_eq!(event, Err(Fault::malformed("record")), "{faulty}");
        }
    }

    #[test]
    fn a_place_outside_the_input_is_no_record() {
        for (start, end) in [(0, 99), (5, 4), (1, 2), (usize::MAX, usize::MAX)] {
            assert_eq!(
                decode("é{}", start, end, &mut String::new()).event,
                Err(Fault::malformed("record"))
            );
        }
        assert_eq!(
            decode("é{}", 2, 4, &mut String::new()).event,
            Err(Fault::malformed("specversion"))
        );
    }

    #[test]
    fn a_record_has_at_most_one_mebibyte_and_64_levels() {
        let padded = |len: usize| {
            let empty = record("hub-created", r#""hub_id":"h","x":"""#);
            empty.replace(
                r#""x":"""#,
                &format!(r#""x":"{}""#, "x".repeat(len - empty.len())),
            )
        };
        read(&padded(RECORD_BYTES_MAX)).event();
        assert_eq!(read(&padded(RECORD_BYTES_MAX + 1)).detail(), "record");
        let nested = |arrays: usize| {
            format!(
                r#""hub_id":"h","x":{}{}"#,
                "[".repeat(arrays),
                "]".repeat(arrays)
            )
        };
        read(&record("hub-created", &nested(62))).event();
        assert_eq!(read(&record("hub-created", &nested(63))).detail(), "record");
    }

    #[test]
    fn escaped_names_and_text_are_read_as_they_are_meant() {
        let read = read(
            r#"{"specversi\u006fn":"\u0031.0","\u0069d":"e\t1","source":"\/gw","type":"meterfold.hub-create\u0064.v1",
            "subject":"\ud83d\ude80","time":"2026\u002d01-10T10:00:00Z","d\u0061ta":{"hub\u005fid":"\"h\"","\u0000":1}}"#,
        );
        let body = Body::HubCreated { hub_id: "\"h\"" };
        assert_eq!(
            read.event(),
            Event {
                source: "/gw",
                id: "e\t1",
                team: "🚀",
                time: at(TIME),
                body
            }
        );
    }

    #[test]
    fn a_subject_has_at_most_128_characters() {
        for character in ["x", "é", "🚀", r"\u00e9", r"\ud83d\ude80"] {
            let with_subject = |count| {
                record("downgrade-requested", "").replace("team-7", &character.repeat(count))
            };
            assert_eq!(read(&with_subject(128)).event().team.chars().count(), 128);
            let too_long = read(&with_subject(129));
            assert_eq!(too_long.detail(), "subject");
            assert_eq!(
                too_long
                    .get(too_long.decoded.subject)
                    .map(|text| text.chars().count()),
                Some(129)
            );
        }
    }

    #[test]
    fn data_may_be_absent_where_no_member_is_required() {
        for type_name in ["postpay-cancelled", "downgrade-requested", "clock-tick"] {
            for data in ["", r#","data":null"#, r#","data":{"x":1}"#] {
                read(&record(type_name, "").replace(r#","data":{}"#, data)).event();
            }
            for data in ["5", "[]", "\"\"", "true"] {
                let read = read(
                    &record(type_name, "").replace(r#""data":{}"#, &format!(r#""data":{data}"#)),
                );
                assert_eq!(read.detail(), "data");
            }
        }
        for (type_name, first_member) in [
            ("api-call", "data.app_id"),
            ("offering-enrolled", "data.offering"),
        ] {
            let record = record(type_name, "");
            assert_eq!(read(&record).detail(), first_member);
            assert_eq!(read(&record.replace(r#","data":{}"#, "")).detail(), "data");
            assert_eq!(read(&record.replace("{}", "null")).detail(), "data");
        }
    }

    #[test]
    fn a_clock_tick_ignores_its_subject() {
        for subject in [
            r#""subject":"team-7","#,
            r#""subject":{"a":[]},"#,
            r#""subject":null,"#,
            r#""subject":"","#,
            "",
        ] {
            let read = read(&record("clock-tick", "").replace(r#""subject":"team-7","#, subject));
            assert_eq!(read.event().team, "");
            assert_eq!(read.event().body, Body::ClockTick);
            assert_eq!(read.decoded.subject, None);
            assert!(read.decoded.is_tick);
        }
        let faulty = read(
            &record("clock-tick", "")
                .replace(TIME, "?")
                .replace("1.0", "2"),
        );
        assert_eq!(
            (
                faulty.detail(),
                faulty.decoded.is_tick,
                faulty.decoded.subject
            ),
            ("specversion", true, None)
        );
    }

    #[test]
    fn the_recorded_time_stands_in_for_nothing_and_time_only_for_an_absent_one() {
        let later = "2026-01-10T11:00:00Z";
        for (time, recorded_time, recorded, detail) in [
            (TIME, format!("\"{later}\""), Some(at(later)), None),
            (TIME, "null".into(), Some(at(TIME)), None),
            (TIME, "\"\"".into(), None, Some("recordedtime")),
            (TIME, "[]".into(), None, Some("recordedtime")),
            ("?", format!("\"{later}\""), Some(at(later)), Some("time")),
            ("?", "null".into(), None, Some("time")),
            ("?", "5".into(), None, Some("time")),
        ] {
            let data = format!(r#""data":{{}},"recordedtime":{recorded_time}"#);
            let record = record("downgrade-requested", "")
                .replace(r#""data":{}"#, &data)
                .replace(TIME, time);
            let read = read(&record);
            assert_eq!(read.decoded.recorded, recorded, "{record}");
            assert_eq!(
                read.decoded.event.err().map(|fault| fault.detail),
                detail,
                "{record}"
            );
        }
    }

    #[test]
    fn unknown_members_are_ignored_whatever_they_hold() {
        let unknown = r#""datacontenttype":"application/json","x":[1e999,{"a":{"a":-0.0}},"\u0000"],"app_id":7,"good":null"#;
        let data = r#""hub_id":"h","specversion":2,"Hub_id":1,"hub_id ":[],"":{}"#;
        let read = read(&record("hub-created", data).replacen('{', &format!("{{{unknown},"), 1));
        assert_eq!(read.event().body, Body::HubCreated { hub_id: "h" });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_damage_to_a_record_makes_it_panic(
            member in prop::sample::select(vec![FULL_USAGE, r#""offering":"postpay","country":"\ud83d\ude80""#]),
            type_name in prop::sample::select(vec!["api-call", "offering-enrolled", "clock-tick"]),
            damages in prop::collection::vec((any::<prop::sample::Index>(), any::<char>(), 0..3_usize), 1..6),
        ) {
            let mut characters: Vec<char> = record(type_name, member).chars().collect();
            for (place, replacement, removed) in damages {
                let place = place.index(characters.len());
                let end = characters.len().min(place + removed);
                characters.splice(place..end, [replacement]);
            }
            let Read { text, decoded } = read(&characters.into_iter().collect::<String>());
            for span in [decoded.source, decoded.id, decoded.subject].into_iter().flatten() {
                text.get(span);
            }
        }

        #[test]
        fn any_bytes_that_are_text_are_read_without_panic(bytes: Vec<u8>) {
            read(&String::from_utf8_lossy(&bytes));
        }
    }
}
