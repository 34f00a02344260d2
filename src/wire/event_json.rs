//! Writes input events in the JSON form that [`cloudevents`](super::cloudevents) reads.
//!
//! One event is one compact object, members in the order of `interfaces.md` 1, absent ones left
//! out, defaults of `data` written. Nothing is checked: every [`Event`] holds what may be written.
//! The generator, conversions between formats and tests call this; derived events are not its matter.

use std::io::Write as _;

use super::json_text::write_string;
use crate::billing::event::{Body, Event, Offering, Usage};
use crate::billing::time::Instant;

/// Appends `event` as one JSON object without a line feed. `recorded` is written as `recordedtime`.
pub fn write(event: &Event<&str>, recorded: Option<Instant>, out: &mut Vec<u8>) {
    let mut envelope = Object::open(out);
    envelope.text("specversion", "1.0");
    envelope.text("id", event.id);
    envelope.text("source", event.source);
    envelope.text("type", event.body.type_name());
    if !matches!(event.body, Body::ClockTick) {
        envelope.text("subject", event.team);
    }
    envelope.quoted("time", event.time);
    if let Some(recorded) = recorded {
        envelope.quoted("recordedtime", recorded);
    }
    if has_data(&event.body) {
        write_data(&event.body, envelope.object("data"));
    }
    envelope.close();
}

const fn has_data(body: &Body<&str>) -> bool {
    !matches!(
        body,
        Body::PostpayCancelled | Body::DowngradeRequested | Body::ClockTick
    )
}

fn write_data(body: &Body<&str>, mut data: Object<'_>) {
    match body {
        Body::ApiCall(usage) => write_usage(usage, &mut data),
        Body::UsageCorrected { usage, corrects } => {
            write_usage(usage, &mut data);
            data.text_if_some("corrects", *corrects);
        }
        Body::OfferingEnrolled(offering) => write_offering(offering, &mut data),
        Body::StandingChanged { good } => data.bare("good", good),
        Body::HubCreated { hub_id } => data.text("hub_id", hub_id),
        Body::AppMigrated { app_id, hub_id } => {
            data.text("app_id", app_id);
            data.text_if_some("hub_id", *hub_id);
        }
        Body::TokensPurchased {
            tokens,
            amount,
            currency,
            expires_at,
        } => {
            data.bare("tokens", tokens);
            data.quoted_if_some("amount", *amount);
            data.text_if_some("currency", *currency);
            data.quoted_if_some("expires_at", *expires_at);
        }
        Body::TokensAdjusted {
            delta,
            reason,
            purpose,
        } => {
            data.quoted("delta", delta);
            data.text_if_some("reason", *reason);
            data.text_if_some("purpose", purpose.map(|purpose| purpose.name()));
        }
        Body::TrialStarted { credits, ends_at } => {
            data.bare("credits", credits);
            data.quoted("ends_at", ends_at);
        }
        Body::CreditsPurchased {
            channel,
            pack,
            packs,
            account_kind,
            amount,
        } => {
            data.text("channel", channel);
            data.bare("pack", pack);
            data.bare("packs", packs);
            data.text("account_kind", account_kind.name());
            data.quoted_if_some("amount", *amount);
        }
        Body::CreditsTransferred { to, credits } => {
            data.text("to", to);
            data.bare("credits", credits);
        }
        Body::PostpayCancelled | Body::DowngradeRequested | Body::ClockTick => {}
    }
    data.close();
}

fn write_usage(usage: &Usage<&str>, data: &mut Object<'_>) {
    data.text("app_id", usage.app_id);
    data.text_if_some("api", usage.api);
    data.text_if_some("method", usage.method);
    data.text_if_some("path", usage.path);
    data.text_if_some("engine", usage.engine);
    data.text_if_some("source_format", usage.source_format);
    data.bare("quantity", usage.quantity);
    data.text("status", usage.status.name());
    if let Some(http_status) = usage.http_status {
        data.bare("http_status", http_status);
    }
}

fn write_offering(offering: &Offering<&str>, data: &mut Object<'_>) {
    match offering {
        Offering::Free => data.text("offering", "free"),
        Offering::Prepay => data.text("offering", "prepay"),
        Offering::Postpay {
            country,
            payment_method,
            good_standing,
            currency,
        } => {
            data.text("offering", "postpay");
            data.text("country", country);
            data.text("payment_method", payment_method);
            data.bare("good_standing", good_standing);
            data.text_if_some("currency", *currency);
        }
    }
}

/// An object being written: puts the commas. Member names are ours and need no escapes.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    fn open(out: &'a mut Vec<u8>) -> Object<'a> {
        out.push(b'{');
        Object {
            out,
            is_empty: true,
        }
    }

    fn close(self) {
        self.out.push(b'}');
    }

    fn name(&mut self, name: &str) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn object(&mut self, name: &str) -> Object<'_> {
        self.name(name);
        Object::open(self.out)
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        write_string(text, self.out);
    }

    /// A number or truth value.
    fn bare(&mut self, name: &str, value: impl std::fmt::Display) {
        self.name(name);
        self.print(value);
    }

    /// An instant or amount: a string that needs no escapes.
    fn quoted(&mut self, name: &str, value: impl std::fmt::Display) {
        self.name(name);
        self.out.push(b'"');
        self.print(value);
        self.out.push(b'"');
    }

    fn text_if_some(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    fn quoted_if_some(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.quoted(name, value);
        }
    }

    fn print(&mut self, value: impl std::fmt::Display) {
        write!(self.out, "{value}").expect("a vector takes any bytes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billing::amount::Tokens;
    use crate::billing::event::{AccountKind, Purpose, Status};
    use crate::wire::cloudevents::decode;
    use crate::wire::span::Text;
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn written(event: &Event<&str>, recorded: Option<Instant>) -> String {
        let mut out = Vec::new();
        write(event, recorded, &mut out);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    fn event(body: Body<&str>) -> Event<&str> {
        Event {
            source: "/gw",
            id: "e-1",
            team: "team \"7\"",
            time: Instant::from_millis(1_768_039_200_000),
            body,
        }
    }

    #[test]
    fn writes_one_compact_object() {
        let envelope = |type_name: &str, rest: &str| {
            format!(
                r#"{{"specversion":"1.0","id":"e-1","source":"/gw","type":"meterfold.{type_name}.v1","subject":"team \"7\"","time":"2026-01-10T10:00:00Z"{rest}}}"#
            )
        };
        let usage = Usage {
            app_id: "a\n",
            api: None,
            method: Some("GET"),
            path: None,
            engine: None,
            source_format: None,
            quantity: -1,
            status: Status::Failed,
            http_status: Some(500),
        };
        let half = Tokens::from_micros(500_000).expect("in range");
        for (body, type_name, data) in [
            (
                Body::UsageCorrected {
                    usage,
                    corrects: Some("e-0"),
                },
                "usage-corrected",
                r#","data":{"app_id":"a\n","method":"GET","quantity":-1,"status":"failed","http_status":500,"corrects":"e-0"}"#,
            ),
            (
                Body::TokensPurchased {
                    tokens: 9,
                    amount: Some(half),
                    currency: None,
                    expires_at: Some(Instant::EPOCH),
                },
                "tokens-purchased",
                r#","data":{"tokens":9,"amount":"0.5","expires_at":"1970-01-01T00:00:00Z"}"#,
            ),
            (
                Body::StandingChanged { good: false },
                "standing-changed",
                r#","data":{"good":false}"#,
            ),
            (Body::DowngradeRequested, "downgrade-requested", ""),
        ] {
            assert_eq!(written(&event(body), None), envelope(type_name, data));
        }
        let tick = written(&event(Body::ClockTick), Some(Instant::EPOCH));
        assert_eq!(
            tick,
            r#"{"specversion":"1.0","id":"e-1","source":"/gw","type":"meterfold.clock-tick.v1","time":"2026-01-10T10:00:00Z","recordedtime":"1970-01-01T00:00:00Z"}"#
        );
    }

    fn instants() -> impl Strategy<Value = Instant> {
        (0..Instant::END.millis()).prop_map(Instant::from_millis)
    }

    fn amounts() -> impl Strategy<Value = Tokens> {
        let most = 1_000_000_000_000_000_000_000_i128;
        (-most..=most).prop_map(|micros| Tokens::from_micros(micros).expect("in range"))
    }

    fn counts() -> impl Strategy<Value = u64> {
        1..=1_000_000_000_000_000_u64
    }

    const TEXTS: usize = 12;

    /// Text of an event, as an index into a list of [`TEXTS`] texts.
    fn names() -> impl Strategy<Value = usize> {
        0..TEXTS
    }

    fn usages() -> impl Strategy<Value = Usage<usize>> {
        let texts = (
            names(),
            option::of(names()),
            option::of(names()),
            option::of(names()),
            option::of(names()),
            option::of(names()),
        );
        let quantity = any::<i64>().prop_filter("a correction is not 0", |&quantity| quantity != 0);
        (
            texts,
            quantity,
            select(&Status::ALL),
            option::of(100..=999_u16),
        )
            .prop_map(
                |(
                    (app_id, api, method, path, engine, source_format),
                    quantity,
                    status,
                    http_status,
                )| Usage {
                    app_id,
                    api,
                    method,
                    path,
                    engine,
                    source_format,
                    quantity,
                    status,
                    http_status,
                },
            )
    }

    fn bodies() -> impl Strategy<Value = Body<usize>> {
        let postpay = (names(), names(), any::<bool>(), option::of(names())).prop_map(
            |(country, payment_method, good_standing, currency)| {
                Body::OfferingEnrolled(Offering::Postpay {
                    country,
                    payment_method,
                    good_standing,
                    currency,
                })
            },
        );
        prop_oneof![
            usages().prop_map(Body::ApiCall),
            (usages(), option::of(names()))
                .prop_map(|(usage, corrects)| Body::UsageCorrected { usage, corrects }),
            Just(Body::OfferingEnrolled(Offering::Free)),
            Just(Body::OfferingEnrolled(Offering::Prepay)),
            postpay,
            Just(Body::PostpayCancelled),
            any::<bool>().prop_map(|good| Body::StandingChanged { good }),
            Just(Body::DowngradeRequested),
            names().prop_map(|hub_id| Body::HubCreated { hub_id }),
            (names(), option::of(names()))
                .prop_map(|(app_id, hub_id)| Body::AppMigrated { app_id, hub_id }),
            (
                counts(),
                option::of(amounts()),
                option::of(names()),
                option::of(instants())
            )
                .prop_map(|(tokens, amount, currency, expires_at)| {
                    Body::TokensPurchased {
                        tokens,
                        amount,
                        currency,
                        expires_at,
                    }
                }),
            (
                amounts(),
                option::of(names()),
                option::of(select(&Purpose::ALL))
            )
                .prop_map(|(delta, reason, purpose)| Body::TokensAdjusted {
                    delta,
                    reason,
                    purpose
                }),
            (counts(), instants())
                .prop_map(|(credits, ends_at)| Body::TrialStarted { credits, ends_at }),
            (
                names(),
                counts(),
                counts(),
                select(&AccountKind::ALL),
                option::of(amounts())
            )
                .prop_map(|(channel, pack, packs, account_kind, amount)| {
                    Body::CreditsPurchased {
                        channel,
                        pack,
                        packs,
                        account_kind,
                        amount,
                    }
                }),
            (names(), counts()).prop_map(|(to, credits)| Body::CreditsTransferred { to, credits }),
            Just(Body::ClockTick),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn what_is_written_is_read_back(
            texts in prop::collection::vec("\\PC{1,20}|[\\x00-\\x7f]{1,20}", TEXTS),
            (source, id, team, time) in (names(), names(), names(), instants()),
            body in bodies(),
            recorded in option::of(instants()),
        ) {
            let is_tick = body == Body::ClockTick;
            let mut event = Event { source, id, team, time, body }.map(|index| texts[index].as_str());
            if is_tick {
                event.team = "";
            }
            let mut text = Text { input: written(&event, recorded), side: String::new() };
            let decoded = decode(&text.input, 0, text.input.len(), &mut text.side);
            prop_assert_eq!(decoded.recorded, Some(recorded.unwrap_or(time)));
            prop_assert_eq!(decoded.is_tick, is_tick);
            let read = decoded.event.as_ref().map(|event| event.map(|span| text.get(span)));
            prop_assert_eq!(read, Ok(event));
        }
    }
}
