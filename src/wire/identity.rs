//! What makes an event the same event: the hash of its identity and the digest of its content
//! (`fold.md` 4).
//!
//! The identity hash decides about money, so it is cryptographic (BLAKE3, 128 bits). The content
//! digest only tells a resend from a conflict, and neither has an effect (XXH3, 64 bits). Both are
//! stored: their input bytes never change.

use xxhash_rust::xxh3::xxh3_64;

use crate::billing::amount::Tokens;
use crate::billing::event::{Body, Event, Offering, Usage};
use crate::billing::time::Instant;

use super::bytes::Writer;

/// Hashes events; keeps its buffer from one to the next.
#[derive(Debug, Default)]
pub struct Identity {
    buffer: Writer,
}

impl Identity {
    /// BLAKE3 of the length-prefixed (subject, source, id), cut to 128 bits. Clock ticks have no
    /// subject and are told apart from every team.
    pub fn id_hash(&mut self, event: &Event<&str>) -> u128 {
        let out = &mut self.buffer;
        out.bytes.clear();
        out.byte(u8::from(event.body == Body::ClockTick));
        out.text(event.team);
        out.text(event.source);
        out.text(event.id);
        let mut head = [0; 16];
        head.copy_from_slice(&blake3::hash(&out.bytes).as_bytes()[..16]);
        u128::from_be_bytes(head)
    }

    /// Digest of type, subject, time and the members of `data`, after their defaults.
    pub fn content_digest(&mut self, event: &Event<&str>) -> u64 {
        let out = &mut self.buffer;
        out.bytes.clear();
        out.text(event.body.type_name());
        out.text(event.team);
        write_instant(out, event.time);
        write_body(out, &event.body);
        xxh3_64(&out.bytes)
    }
}

fn write_body(out: &mut Writer, body: &Body<&str>) {
    match body {
        Body::ApiCall(usage) => write_usage(out, usage),
        Body::UsageCorrected { usage, corrects } => {
            write_usage(out, usage);
            out.option(*corrects, Writer::text);
        }
        Body::OfferingEnrolled(Offering::Free) => out.byte(0),
        Body::OfferingEnrolled(Offering::Prepay) => out.byte(1),
        Body::OfferingEnrolled(Offering::Postpay {
            country,
            payment_method,
            good_standing,
            currency,
        }) => {
            out.byte(2);
            out.text(country);
            out.text(payment_method);
            out.byte(u8::from(*good_standing));
            out.option(*currency, Writer::text);
        }
        Body::PostpayCancelled | Body::DowngradeRequested | Body::ClockTick => {}
        Body::StandingChanged { good } => out.byte(u8::from(*good)),
        Body::HubCreated { hub_id } => out.text(hub_id),
        Body::AppMigrated { app_id, hub_id } => {
            out.text(app_id);
            out.option(*hub_id, Writer::text);
        }
        Body::TokensPurchased {
            tokens,
            amount,
            currency,
            expires_at,
        } => {
            out.unsigned(*tokens);
            out.option(*amount, write_tokens);
            out.option(*currency, Writer::text);
            out.option(*expires_at, write_instant);
        }
        Body::TokensAdjusted {
            delta,
            reason,
            purpose,
        } => {
            write_tokens(out, *delta);
            out.option(*reason, Writer::text);
            out.option(purpose.map(|purpose| purpose.name()), Writer::text);
        }
        Body::TrialStarted { credits, ends_at } => {
            out.unsigned(*credits);
            write_instant(out, *ends_at);
        }
        Body::CreditsPurchased {
            channel,
            pack,
            packs,
            account_kind,
            amount,
        } => {
            out.text(channel);
            out.unsigned(*pack);
            out.unsigned(*packs);
            out.text(account_kind.name());
            out.option(*amount, write_tokens);
        }
        Body::CreditsTransferred { to, credits } => {
            out.text(to);
            out.unsigned(*credits);
        }
    }
}

fn write_usage(out: &mut Writer, usage: &Usage<&str>) {
    out.text(usage.app_id);
    for text in [
        usage.api,
        usage.method,
        usage.path,
        usage.engine,
        usage.source_format,
    ] {
        out.option(text, Writer::text);
    }
    out.signed(i128::from(usage.quantity));
    out.byte(usage.status as u8);
    out.option(usage.http_status, |out, status| {
        out.unsigned(u64::from(status))
    });
}

fn write_instant(out: &mut Writer, at: Instant) {
    out.signed(i128::from(at.millis()));
}

fn write_tokens(out: &mut Writer, tokens: Tokens) {
    out.signed(tokens.micros());
}
