//! The price of a purchase: tokens (B43, B45, B48) or a pack of credits (A6-A18), as `fold.md` 6.2
//! has it. A pure reading of the rate book for `rates quote`; it changes nothing, and the fold
//! never asks it. Whether the buyer may buy is not its matter: it prices what a card or channel
//! sells at an instant, and refuses what has no price.

use super::amount::{Money, Overflow, Tokens};
use super::rate_book::{CreditChannel, RateBook, RateCard};
use super::time::Instant;
use rust_decimal::Decimal;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote<'a> {
    pub net: Money,
    /// Zero where no rate applies.
    pub tax: Money,
    pub gross: Money,
    pub currency: &'a str,
}

/// Why a purchase has no quote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoQuote {
    #[error("no rate card is in force at {0}; ask for a later instant")]
    NoCard(Instant),
    #[error("{tokens} tokens are below the minimum of {minimum} of card {card}; ask for more")]
    BelowMinimum {
        tokens: u64,
        minimum: u64,
        card: Box<str>,
    },
    #[error("card {card} has no price per token in {currency}; ask for one of: {priced}")]
    NoTokenPrice {
        card: Box<str>,
        currency: Box<str>,
        priced: String,
    },
    #[error("the book has no credit channel {channel}; it has: {known}")]
    UnknownChannel { channel: Box<str>, known: String },
    #[error("channel {channel} is not available at {at}; ask for another instant")]
    ChannelNotAvailable { channel: Box<str>, at: Instant },
    #[error("channel {channel} sells no pack of {pack} at {at}; it sells: {sold}")]
    PackNotSold {
        channel: Box<str>,
        pack: u64,
        at: Instant,
        sold: String,
    },
    #[error("pack {pack} of channel {channel} has no list price at {at}; ask the channel for one")]
    NoListPrice {
        channel: Box<str>,
        pack: u64,
        at: Instant,
    },
    #[error("channel {channel} sells in {sold_in}, not in {currency}; leave the currency out")]
    OtherCurrency {
        channel: Box<str>,
        sold_in: Box<str>,
        currency: Box<str>,
    },
    #[error("the amount left the exact range; ask for fewer")]
    TooMuch,
}

/// `tokens` bought at `at`, wholly at the price of their volume, taxed as `country` is.
pub fn quote_tokens<'a>(
    book: &'a RateBook,
    at: Instant,
    tokens: u64,
    country: Option<&str>,
    currency: &str,
) -> Result<Quote<'a>, NoQuote> {
    let card = book.card(book.card_at(at).ok_or(NoQuote::NoCard(at))?);
    if tokens < card.min_purchase_tokens {
        let minimum = card.min_purchase_tokens;
        return Err(NoQuote::BelowMinimum {
            tokens,
            minimum,
            card: card.id.clone(),
        });
    }
    let known = book
        .currencies
        .iter()
        .find(|known| known.code.as_ref() == currency);
    let (Some(currency), Some(list_price)) = (known, card.price_per_token(currency)) else {
        let priced = join(card.price_per_token.iter().map(|(code, _)| code));
        let currency = currency.into();
        return Err(NoQuote::NoTokenPrice {
            card: card.id.clone(),
            currency,
            priced,
        });
    };
    let unit_price = volume_price(card, &currency.code, tokens).unwrap_or(list_price);
    let tax_rate = country.and_then(|country| card.tax_rate(country));
    price(
        tokens,
        unit_price,
        tax_rate,
        &currency.code,
        currency.minor_digits,
    )
}

/// `packs` packs of `pack` credits of a channel at `at`: of its entries the first that is available
/// then and sells the pack (A13: its price may fall with the pack).
pub fn quote_credits<'a>(
    book: &'a RateBook,
    at: Instant,
    channel: &str,
    pack: u64,
    packs: u64,
    currency: Option<&str>,
) -> Result<Quote<'a>, NoQuote> {
    let entries = || {
        book.credit_channels
            .iter()
            .filter(|entry| entry.channel.as_ref() == channel)
    };
    if entries().next().is_none() {
        let mut known: Vec<_> = book
            .credit_channels
            .iter()
            .map(|entry| &entry.channel)
            .collect();
        known.dedup();
        let known = join(known.into_iter());
        return Err(NoQuote::UnknownChannel {
            channel: channel.into(),
            known,
        });
    }
    let available: Vec<&CreditChannel> =
        entries().filter(|entry| is_available(entry, at)).collect();
    if available.is_empty() {
        return Err(NoQuote::ChannelNotAvailable {
            channel: channel.into(),
            at,
        });
    }
    let Some(entry) = available.iter().find(|entry| entry.packs.contains(&pack)) else {
        let mut sold: Vec<u64> = available
            .iter()
            .flat_map(|entry| entry.packs.clone())
            .collect();
        sold.sort_unstable();
        sold.dedup();
        let sold = join(sold.iter());
        return Err(NoQuote::PackNotSold {
            channel: channel.into(),
            pack,
            at,
            sold,
        });
    };
    if let Some(currency) = currency.filter(|currency| *currency != entry.currency.as_ref()) {
        let (sold_in, currency) = (entry.currency.clone(), currency.into());
        return Err(NoQuote::OtherCurrency {
            channel: channel.into(),
            sold_in,
            currency,
        });
    }
    let unit_price = entry
        .price_per_credit
        .iter()
        .find(|(size, _)| *size == pack);
    let digits = book.minor_digits(&entry.currency);
    let (Some((_, unit_price)), Some(digits)) = (unit_price, digits) else {
        return Err(NoQuote::NoListPrice {
            channel: channel.into(),
            pack,
            at,
        });
    };
    let credits = pack.checked_mul(packs).ok_or(NoQuote::TooMuch)?;
    price(
        credits,
        *unit_price,
        Some(entry.tax_rate),
        &entry.currency,
        digits,
    )
}

impl From<Overflow> for NoQuote {
    fn from(_: Overflow) -> NoQuote {
        NoQuote::TooMuch
    }
}

/// Net rounded half up to the minor unit, tax half up on the net.
fn price<'a>(
    count: u64,
    unit_price: Decimal,
    tax_rate: Option<Decimal>,
    currency: &'a str,
    minor_digits: u32,
) -> Result<Quote<'a>, NoQuote> {
    let net = Tokens::from_whole(count)?.amount(unit_price, minor_digits)?;
    let tax = match tax_rate {
        Some(rate) => net.tax(rate)?,
        None => Money::zero(minor_digits),
    };
    Ok(Quote {
        net,
        tax,
        gross: net.plus(tax)?,
        currency,
    })
}

/// The price of the last step that `tokens` reach (B45); None below the first.
fn volume_price(card: &RateCard, currency: &str, tokens: u64) -> Option<Decimal> {
    let (_, steps) = card
        .volume_prices
        .iter()
        .find(|(code, _)| code.as_ref() == currency)?;
    steps
        .iter()
        .rev()
        .find(|step| step.from <= tokens)
        .map(|step| step.price)
}

/// `available_from` null is not yet on sale, `available_to` is exclusive.
fn is_available(entry: &CreditChannel, at: Instant) -> bool {
    entry.available_from.is_some_and(|from| from <= at)
        && entry.available_to.is_none_or(|to| at < to)
}

fn join(names: impl Iterator<Item = impl ToString>) -> String {
    names
        .map(|name| name.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::event::{AccountKind, Purpose};
    use super::super::rate_book::{
        CapSuspends, ChargeMode, Currency, FreeAllowanceWhenPaid, PostpayTerms, Regime,
        ShortfallPolicy, VolumeStep,
    };
    use super::*;

    const DAY: i64 = 86_400_000;

    fn instant(day: i64) -> Instant {
        Instant::from_millis(day.saturating_mul(DAY))
    }

    /// One card from day 100, with volume prices in USD; channel `page` with and without a price.
    fn book() -> RateBook {
        let card = RateCard {
            id: "card".into(),
            effective_from: instant(100),
            regime: Regime::Tiers,
            charge_mode: ChargeMode::WholeUnit,
            close_grace_millis: 0,
            min_purchase_tokens: 100,
            token_validity_months: 12,
            price_per_token: vec![
                ("JPY".into(), Decimal::new(480, 0)),
                ("USD".into(), Decimal::new(300, 2)),
            ],
            tax_rates: vec![
                ("DE".into(), Decimal::new(19, 2)),
                ("JP".into(), Decimal::new(1, 1)),
            ],
            cap_suspends: CapSuspends::Api,
            free_allowance_when_paid: FreeAllowanceWhenPaid::None,
            shortfall_policy: ShortfallPolicy::Carry,
            postpay: PostpayTerms::default(),
            apis: Vec::new(),
            classify: Vec::new(),
            meters: Vec::new(),
            volume_prices: vec![(
                "USD".into(),
                vec![
                    VolumeStep {
                        from: 5_000,
                        price: Decimal::new(285, 2),
                    },
                    VolumeStep {
                        from: 50_000,
                        price: Decimal::new(2_400_005, 6),
                    },
                ],
            )],
        };
        let page = CreditChannel {
            channel: "page".into(),
            packs: vec![100],
            account_kinds: vec![AccountKind::Subscription],
            purpose: Purpose::Subscription,
            currency: "JPY".into(),
            price_per_credit: vec![(100, Decimal::new(160, 0))],
            tax_rate: Decimal::new(8, 2),
            available_from: Some(instant(10)),
            available_to: Some(instant(20)),
        };
        let later = CreditChannel {
            packs: vec![100, 5_000],
            price_per_credit: vec![(5_000, Decimal::new(15_995, 2))],
            available_from: Some(instant(15)),
            available_to: None,
            ..page.clone()
        };
        let planned = CreditChannel {
            channel: "store".into(),
            available_from: None,
            ..page.clone()
        };
        RateBook {
            id: "book".into(),
            currencies: vec![
                Currency {
                    code: "JPY".into(),
                    minor_digits: 0,
                },
                Currency {
                    code: "USD".into(),
                    minor_digits: 2,
                },
            ],
            enrolment_deadline: Instant::EPOCH,
            dedup_horizon_millis: 0,
            future_skew_millis: 0,
            credit_validity_months: 12,
            credits_end: Instant::END,
            credit_channels: vec![page, later, planned],
            cards: vec![card],
            launch: Some(instant(100)),
            meters: Vec::new(),
            apis: Vec::new(),
            scopes: Vec::new(),
        }
    }

    fn printed(quote: Result<Quote<'_>, NoQuote>) -> String {
        match quote {
            Ok(Quote {
                net,
                tax,
                gross,
                currency,
            }) => format!("{net} {tax} {gross} {currency}"),
            Err(none) => none.to_string(),
        }
    }

    #[test]
    fn tokens_cost_the_price_of_their_volume() {
        let book = book();
        for (tokens, country, currency, expected) in [
            (100, None, "USD", "300.00 0.00 300.00 USD"),
            (4_999, None, "USD", "14997.00 0.00 14997.00 USD"),
            (5_000, None, "USD", "14250.00 0.00 14250.00 USD"),
            (
                49_999,
                Some("DE"),
                "USD",
                "142497.15 27074.46 169571.61 USD",
            ),
            (50_000, Some("US"), "USD", "120000.25 0.00 120000.25 USD"),
            (50_001, None, "USD", "120002.65 0.00 120002.65 USD"),
            (5_000, Some("JP"), "JPY", "2400000 240000 2640000 JPY"),
            (101, Some("DE"), "JPY", "48480 9211 57691 JPY"),
        ] {
            let quote = quote_tokens(&book, instant(100), tokens, country, currency);
            assert_eq!(printed(quote), expected, "{tokens} {country:?}");
        }
    }

    #[test]
    fn tokens_without_a_price_have_no_quote() {
        let book = book();
        for (day, tokens, currency, expected) in [
            (
                99,
                100,
                "USD",
                "no rate card is in force at 1970-04-10T00:00:00Z",
            ),
            (
                100,
                99,
                "USD",
                "99 tokens are below the minimum of 100 of card card",
            ),
            (
                100,
                100,
                "EUR",
                "card card has no price per token in EUR; ask for one of: JPY, USD",
            ),
            (100, u64::MAX, "JPY", ""),
        ] {
            let found = printed(quote_tokens(&book, instant(day), tokens, None, currency));
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn credits_cost_the_list_price_of_their_pack() {
        let book = book();
        for (day, channel, pack, packs, currency, expected) in [
            // A9: JPY 16,000 net, 17,280 with tax.
            (10, "page", 100, 1, None, "16000 1280 17280 JPY"),
            (19, "page", 100, 3, Some("JPY"), "48000 3840 51840 JPY"),
            // A13: the larger pack is cheaper a credit.
            (19, "page", 5_000, 1, None, "799750 63980 863730 JPY"),
            (
                9,
                "page",
                100,
                1,
                None,
                "channel page is not available at 1970-01-10T00:00:00Z",
            ),
            (
                20,
                "page",
                100,
                1,
                None,
                "pack 100 of channel page has no list price at",
            ),
            (
                19,
                "page",
                200,
                1,
                None,
                "channel page sells no pack of 200 at 1970-01-20T00:00:00Z; it sells: 100, 5000",
            ),
            (
                14,
                "page",
                5_000,
                1,
                None,
                "channel page sells no pack of 5000",
            ),
            (
                19,
                "page",
                100,
                1,
                Some("USD"),
                "channel page sells in JPY, not in USD",
            ),
            (
                19,
                "shop",
                100,
                1,
                None,
                "the book has no credit channel shop; it has: page, store",
            ),
            (
                19,
                "store",
                100,
                1,
                None,
                "channel store is not available at",
            ),
            (
                19,
                "page",
                100,
                u64::MAX,
                None,
                "the amount left the exact range",
            ),
        ] {
            let found = printed(quote_credits(
                &book,
                instant(day),
                channel,
                pack,
                packs,
                currency,
            ));
            assert!(found.starts_with(expected), "{channel} {pack}: {found}");
        }
    }
}
