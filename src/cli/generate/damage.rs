//! Malformed lines: what is wrong with them, and how a good event is made wrong.
//!
//! Some faults are of the text, which a reader finds; some of the facts, which only admission
//! finds. Every kind ends as a dead letter.

use super::name::Name;
use super::random::Random;
use crate::billing::event::{Body, Event};
use crate::billing::time::{Instant, MILLIS_PER_DAY, MILLIS_PER_HOUR};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    // Of the text.
    CutOff,
    NotUtf8,
    RepeatedMember,
    OtherSpecVersion,
    MissingId,
    UnknownType,
    NoInstant,
    MissingAppId,
    QuantityAsText,
    UnknownStatus,
    // Of the facts.
    NegativeQuantity,
    QuantityTooLarge,
    InFuture,
    TooOld,
}

impl Damage {
    pub const ALL: [Damage; 14] = [
        Damage::CutOff,
        Damage::NotUtf8,
        Damage::RepeatedMember,
        Damage::OtherSpecVersion,
        Damage::MissingId,
        Damage::UnknownType,
        Damage::NoInstant,
        Damage::MissingAppId,
        Damage::QuantityAsText,
        Damage::UnknownStatus,
        Damage::NegativeQuantity,
        Damage::QuantityTooLarge,
        Damage::InFuture,
        Damage::TooOld,
    ];

    pub fn draw(random: &mut Random) -> Damage {
        random.pick(&Damage::ALL)
    }

    /// Makes the facts of an API call wrong, if this damage is of the facts.
    pub fn distort(self, event: &mut Event<Name>, recorded: Instant, random: &mut Random) {
        let Body::ApiCall(usage) = &mut event.body else {
            return;
        };
        match self {
            Damage::NegativeQuantity => usage.quantity = -random.between(1, 500),
            Damage::QuantityTooLarge => usage.quantity = 1_000_000_000_000_001,
            Damage::InFuture => {
                let ahead = random.between(MILLIS_PER_HOUR, 3 * MILLIS_PER_DAY);
                event.time = recorded.plus_millis(ahead);
            }
            Damage::TooOld => {
                let behind = random.between(36, 60) * MILLIS_PER_DAY;
                event.time = recorded.minus_millis(behind).max(Instant::EPOCH);
            }
            _ => {}
        }
    }

    /// Makes the line of an API call wrong, if this damage is of the text.
    pub fn break_text(self, line: &mut Vec<u8>) {
        match self {
            Damage::CutOff => line.truncate(line.len() * 2 / 3),
            Damage::NotUtf8 => replace(line, "/gateway", b"/g\xFFteway"),
            Damage::RepeatedMember => replace(line, "{", b"{\"specversion\":\"1.0\","),
            Damage::OtherSpecVersion => replace(line, "\"1.0\"", b"\"0.3\""),
            Damage::MissingId => replace(line, "\"id\"", b"\"event_id\""),
            Damage::UnknownType => replace(line, "api-call", b"api-called"),
            Damage::NoInstant => replace(line, "\"time\":\"20", b"\"time\":\"in 20"),
            Damage::MissingAppId => replace(line, "\"app_id\"", b"\"application\""),
            Damage::QuantityAsText => {
                replace(line, "\"quantity\":", b"\"quantity\":\"1\",\"was\":")
            }
            Damage::UnknownStatus => replace(line, "\"status\":\"", b"\"status\":\"partial_"),
            Damage::NegativeQuantity
            | Damage::QuantityTooLarge
            | Damage::InFuture
            | Damage::TooOld => {}
        }
    }
}

fn replace(line: &mut Vec<u8>, old: &str, new: &[u8]) {
    if let Some(at) = memchr::memmem::find(line, old.as_bytes()) {
        line.splice(at..at + old.len(), new.iter().copied());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cloudevents::decode;

    const LINE: &str = concat!(
        r#"{"specversion":"1.0","id":"c-1","source":"/gateway/eu-1","type":"meterfold.api-call.v1","#,
        r#""subject":"team-1","time":"2026-01-10T10:00:00Z","recordedtime":"2026-01-10T10:00:01Z","#,
        r#""data":{"app_id":"app-1","quantity":12,"status":"success"}}"#
    );

    #[test]
    fn every_damage_of_the_text_is_found_by_the_reader() {
        for (damage, detail) in [
            (Damage::CutOff, "record"),
            (Damage::RepeatedMember, "record"),
            (Damage::OtherSpecVersion, "specversion"),
            (Damage::MissingId, "id"),
            (Damage::UnknownType, "type"),
            (Damage::NoInstant, "time"),
            (Damage::MissingAppId, "data.app_id"),
            (Damage::QuantityAsText, "data.quantity"),
            (Damage::UnknownStatus, "data.status"),
        ] {
            let mut line = LINE.as_bytes().to_vec();
            damage.break_text(&mut line);
            let text = String::from_utf8(line).expect("this damage is none of UTF-8");
            let decoded = decode(&text, 0, text.len(), &mut String::new());
            let fault = decoded.event.expect_err("damaged");
            assert_eq!(fault.detail, detail, "{damage:?}");
        }
        let mut line = LINE.as_bytes().to_vec();
        Damage::NotUtf8.break_text(&mut line);
        assert!(String::from_utf8(line).is_err());
    }

    #[test]
    fn damage_of_the_facts_leaves_the_text_whole() {
        for damage in &Damage::ALL[10..] {
            let mut line = LINE.as_bytes().to_vec();
            damage.break_text(&mut line);
            assert_eq!(line, LINE.as_bytes(), "{damage:?}");
        }
    }
}
