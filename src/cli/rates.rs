//! `meterfold rates`: check a rate book before it is used, and quote a purchase by it.
//!
//! `check --against` refuses what `run` and `replay --state` would refuse to adopt, and with the
//! same exit code 4: as the successor of the book in force it is invalid. (10 is for guard rails
//! that a flag lifts; this one has none.) Only cards that are not in force yet may still change,
//! with a note, since a processor that has adopted them already keeps them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{ArgGroup, Args, Subcommand};

use super::failure::Failure;
use super::streams;
use crate::billing::amount::print_price;
use crate::billing::quote::{NoQuote, Quote, quote_credits, quote_tokens};
use crate::billing::rate_book::{CardNo, ChargeMode, RateBook, RateCard, Regime};
use crate::billing::time::Instant;
use crate::wire::rate_book::{self, AMOUNT_MAX, BookChange, BookFaults};

/// Check a rate book, or ask it for the price of a purchase
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  meterfold rates check book.json --against deployed.json")]
pub struct RatesArgs {
    #[command(subcommand)]
    command: RatesCommand,
}

#[derive(Subcommand, Debug)]
enum RatesCommand {
    /// Validate a rate book; every fault is one line on standard error (exit 4)
    #[command(after_help = "\
Examples:
  meterfold rates check book.json
  meterfold rates check book.json --against deployed.json")]
    Check(CheckArgs),
    /// Price of a purchase, as {"net","tax","gross","currency"}
    #[command(after_help = "\
Examples:
  meterfold rates quote book.json --tokens 5000 --country JP --currency JPY
  meterfold rates quote book.json --channel account_page --pack 100 --packs 1 \\
    --at 2018-06-01T00:00:00Z")]
    Quote(QuoteArgs),
}

#[derive(Args, Debug)]
struct CheckArgs {
    /// The rate book
    book: PathBuf,
    /// The book in use so far: refuse changes to cards already in force
    #[arg(long, value_name = "OLD.json")]
    against: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("purchase").args(["tokens", "channel"]).required(true)))]
struct QuoteArgs {
    /// The rate book
    book: PathBuf,
    /// Number of tokens to buy
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..=AMOUNT_MAX)
    )]
    tokens: Option<u64>,
    /// Country of the buyer, for tax on tokens
    #[arg(
        long,
        value_name = "CC",
        requires = "tokens",
        conflicts_with = "channel"
    )]
    country: Option<String>,
    /// Credit channel to buy from
    #[arg(long, value_name = "C", requires_all = ["pack", "packs"])]
    channel: Option<String>,
    /// Credits in a pack
    #[arg(
        long,
        value_name = "P",
        requires = "channel",
        value_parser = clap::value_parser!(u64).range(1..=AMOUNT_MAX)
    )]
    pack: Option<u64>,
    /// Number of packs
    #[arg(
        long,
        value_name = "N",
        requires = "channel",
        value_parser = clap::value_parser!(u64).range(1..=AMOUNT_MAX)
    )]
    packs: Option<u64>,
    /// Currency to pay in [default: USD; of a channel its own]
    #[arg(long, value_name = "C")]
    currency: Option<String>,
    /// When to buy [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    at: Option<Instant>,
}

pub fn run(args: RatesArgs) -> Result<(), Failure> {
    match args.command {
        RatesCommand::Check(args) => check(&args),
        RatesCommand::Quote(args) => quote(&args),
    }
}

fn check(args: &CheckArgs) -> Result<(), Failure> {
    let text = read_file(&args.book)?;
    let book = read_book(&args.book, &text)?;
    let against = match &args.against {
        Some(path) => {
            let old_text = read_file(path)?;
            let old = read_book(path, &old_text)?;
            let change = rate_book::compare(&old_text, &text)
                .map_err(|faults| invalid(&args.book, &faults))?;
            let verdict = judge(&old, &book, change, now());
            let verdict = verdict.map_err(|faults| invalid(&args.book, &faults))?;
            format!("against {}: {verdict}\n", path.display())
        }
        None => String::new(),
    };
    let digest =
        rate_book::canonical_digest(&text).map_err(|faults| invalid(&args.book, &faults))?;
    print(&format!("{}{against}", summary(&book, digest)))
}

/// What a change means to those who use the old book at `now`; faults if it must not be made.
fn judge(
    old: &RateBook,
    new: &RateBook,
    change: BookChange,
    now: Instant,
) -> Result<String, BookFaults> {
    match change {
        BookChange::Same => Ok("says the same".to_owned()),
        BookChange::Appended { first_card } => {
            rate_book::check_adoption(new, first_card, now)?;
            let count = new.cards.len() - usize::from(first_card.0);
            let from = new.card(first_card).effective_from;
            Ok(format!("{count} card(s) appended, from {from}"))
        }
        BookChange::Older => {
            let gone = &old.cards[new.cards.len()];
            if gone.effective_from <= now {
                let problem = format!(
                    "is missing, but in force since {}; put it back",
                    gone.effective_from
                );
                let place = format!(
                    "cards[{}] (card {})",
                    new.cards.len(),
                    gone.id.escape_debug()
                );
                return Err(BookFaults(vec![rate_book::Fault { place, problem }]));
            }
            Ok(
                "older; cards not yet in force are gone (a processor that adopted them keeps them)"
                    .to_owned(),
            )
        }
        BookChange::Different { card, fault } => {
            let is_open = |card: CardNo| {
                let starts_later = |book: &RateBook| {
                    book.cards
                        .get(usize::from(card.0))
                        .is_none_or(|card| card.effective_from > now)
                };
                starts_later(old) && starts_later(new)
            };
            match card {
                Some(card) if is_open(card) => Ok(format!(
                    "changes a card not yet in force (a processor that adopted it refuses this): {fault}"
                )),
                _ => Err(BookFaults(vec![fault])),
            }
        }
    }
}

fn quote(args: &QuoteArgs) -> Result<(), Failure> {
    let text = read_file(&args.book)?;
    let book = read_book(&args.book, &text)?;
    let at = args.at.unwrap_or_else(now);
    let currency = args.currency.as_deref();
    let quote = match (args.tokens, &args.channel, args.pack, args.packs) {
        (Some(tokens), ..) => {
            let currency = currency.unwrap_or("USD");
            quote_tokens(&book, at, tokens, args.country.as_deref(), currency)
        }
        (None, Some(channel), Some(pack), Some(packs)) => {
            quote_credits(&book, at, channel, pack, packs, currency)
        }
        _ => {
            return Err(Failure::usage(
                "give --tokens, or --channel with --pack and --packs",
            ));
        }
    };
    let quote = quote.map_err(|none: NoQuote| {
        Failure::usage(format!("{}: no quote: {none}", args.book.display()))
    })?;
    print(&quote_line(&quote))
}

fn quote_line(quote: &Quote<'_>) -> String {
    let Quote {
        net,
        tax,
        gross,
        currency,
    } = quote;
    let currency = serde_json::Value::from(*currency);
    format!(r#"{{"net":"{net}","tax":"{tax}","gross":"{gross}","currency":{currency}}}"#) + "\n"
}

fn summary(book: &RateBook, digest: [u8; 32]) -> String {
    let currencies: Vec<&str> = book
        .currencies
        .iter()
        .map(|entry| entry.code.as_ref())
        .collect();
    let mut text = format!(
        "{}: {} cards, {} meters, {} APIs, {} channel entries; currencies {}\ndigest {}\n",
        book.id,
        book.cards.len(),
        book.meters.len(),
        book.apis.len(),
        book.credit_channels.len(),
        currencies.join(" "),
        digest
            .iter()
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")),
    );
    let id_width = book
        .cards
        .iter()
        .map(|card| card.id.chars().count())
        .max()
        .unwrap_or(0);
    for card in &book.cards {
        let _ = writeln!(
            text,
            "  {:id_width$}  from {}  {:6}  {:12}  {} meters  {}",
            card.id,
            card.effective_from,
            match card.regime {
                Regime::Legacy => "legacy",
                Regime::Tiers => "tiers",
            },
            match card.charge_mode {
                ChargeMode::WholeUnit => "whole_unit",
                ChargeMode::Proportional => "proportional",
            },
            card.meters.len(),
            prices(book, card),
        );
    }
    text
}

/// A card's price per token in each currency, `JPY 480, USD 3.00`.
fn prices(book: &RateBook, card: &RateCard) -> String {
    let price = |(code, price): &(Box<str>, _)| {
        format!(
            "{code} {}",
            print_price(*price, book.minor_digits(code).unwrap_or(0))
        )
    };
    match card.price_per_token.as_slice() {
        [] => "no token price".to_owned(),
        priced => priced.iter().map(price).collect::<Vec<_>>().join(", "),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        Failure::usage(format!(
            "{}: cannot be read: {error}; give a rate book",
            path.display()
        ))
    })
}

fn read_book(path: &Path, text: &[u8]) -> Result<RateBook, Failure> {
    rate_book::read(text).map_err(|faults| invalid(path, &faults))
}

/// One line a fault, each naming the file.
fn invalid(path: &Path, faults: &BookFaults) -> Failure {
    let lines: Vec<String> = faults
        .0
        .iter()
        .map(|fault| format!("{}: {fault}", path.display()))
        .collect();
    Failure::invalid(lines.join("\n"))
}

fn print(text: &str) -> Result<(), Failure> {
    streams::say(text.as_bytes())
}

fn parse_instant(text: &str) -> Result<Instant, String> {
    Instant::parse(text).ok_or_else(|| "write it like 2026-01-10T10:00:00Z".to_owned())
}

/// The wall clock.
pub fn now() -> Instant {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Instant::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
