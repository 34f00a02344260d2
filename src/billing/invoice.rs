//! The monthly invoice (`fold.md` 7; B19, B47, Q22, Q23).

use rust_decimal::Decimal;

use super::account::TeamAccount;
use super::amount::{Money, Overflow, Tokens};
use super::month::{Booked, LineKey, TeamMonth};
use super::rate_book::{MeterNo, RateBook};
use super::time::{Instant, Month};

/// Who has no currency is invoiced in this one.
pub const DEFAULT_CURRENCY: &str = "USD";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    pub month: Month,
    pub currency: Box<str>,
    /// Sorted by meter id, then card id.
    pub lines: Vec<InvoiceLine>,
    /// Sorted by usage month, then meter id, then card id.
    pub adjustments: Vec<(Month, InvoiceLine)>,
    pub subtotal: Money,
    /// (rate, amount), if the card of the month's end taxes the team's country.
    pub tax: Option<(Decimal, Money)>,
    pub total: Money,
    /// Usage taken free in the month, sorted by meter id; zero entries left out.
    pub free_usage: Vec<(MeterNo, u64)>,
    pub balance: Tokens,
    pub debt: Tokens,
    /// Sorted by meter id; zero entries left out.
    pub carry_over: Vec<(MeterNo, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceLine {
    pub key: LineKey,
    pub booked: Booked,
    /// That card's price per token in the invoice's currency, if it has one.
    pub unit_price: Option<Decimal>,
    /// `postpaid * unit_price`, rounded half up to the minor unit.
    pub amount: Money,
}

/// How the team stood when a month closed: what its invoice tells beside the entries of the month,
/// which never change after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    pub currency: Box<str>,
    /// That of the team's country, by the card of the month's end.
    pub tax_rate: Option<Decimal>,
    pub balance: Tokens,
    pub debt: Tokens,
    /// Sorted by meter id; zero entries left out.
    pub carry_over: Vec<(MeterNo, u64)>,
}

impl Closing {
    /// How `account` stands at `clock`, for the invoice of `month`.
    pub fn of(account: &TeamAccount, book: &RateBook, month: Month, clock: Instant) -> Closing {
        let last_card = book.card_at(month.end().minus_millis(1));
        let country = account.country.as_deref();
        Closing {
            currency: account
                .currency
                .as_deref()
                .unwrap_or(DEFAULT_CURRENCY)
                .into(),
            tax_rate: country.and_then(|country| book.card(last_card?).tax_rate(country)),
            balance: account.lots.balance(),
            debt: account.debt,
            carry_over: carry_over(account, book, clock),
        }
    }
}

impl Invoice {
    /// What [`invoice_at`] needs to make this invoice again from its month.
    pub fn closing(&self) -> Closing {
        Closing {
            currency: self.currency.clone(),
            tax_rate: self.tax.map(|(rate, _)| rate),
            balance: self.balance,
            debt: self.debt,
            carry_over: self.carry_over.clone(),
        }
    }
}

/// The invoice of `month` as of its close at `clock`.
pub fn invoice(
    account: &TeamAccount,
    book: &RateBook,
    month: Month,
    clock: Instant,
) -> Result<Invoice, Overflow> {
    let closing = Closing::of(account, book, month, clock);
    let empty = TeamMonth::new(month);
    invoice_at(account.month(month).unwrap_or(&empty), closing, book)
}

/// The invoice of the month of `entries`, for a team that stood as `closing` says when it closed.
/// The same whenever it is made, since a closed month never changes.
pub fn invoice_at(
    entries: &TeamMonth,
    closing: Closing,
    book: &RateBook,
) -> Result<Invoice, Overflow> {
    let Closing {
        currency,
        tax_rate,
        balance,
        debt,
        carry_over,
    } = closing;
    let minor_digits = book.minor_digits(&currency).unwrap_or(2);
    let mut subtotal = Money::zero(minor_digits);
    let mut line = |(key, booked): (LineKey, Booked)| -> Result<InvoiceLine, Overflow> {
        let unit_price = book.card(key.card).price_per_token(&currency);
        let amount = match unit_price {
            Some(price) => booked.postpaid.amount(price, minor_digits)?,
            None => Money::zero(minor_digits),
        };
        subtotal = subtotal.plus(amount)?;
        Ok(InvoiceLine {
            key,
            booked,
            unit_price,
            amount,
        })
    };
    let lines = shown_lines(entries, book)
        .into_iter()
        .map(&mut line)
        .collect::<Result<_, _>>()?;
    let mut adjustments = Vec::new();
    for (usage_month, entry) in shown_adjustments(entries, book) {
        adjustments.push((usage_month, line(entry)?));
    }
    let tax = tax_rate
        .map(|rate| subtotal.tax(rate).map(|amount| (rate, amount)))
        .transpose()?;
    Ok(Invoice {
        month: entries.month,
        currency,
        lines,
        adjustments,
        subtotal,
        tax,
        total: tax.map_or(Ok(subtotal), |(_, amount)| subtotal.plus(amount))?,
        free_usage: by_meter_id(book, entries.free_used.iter().copied()),
        balance,
        debt,
        carry_over,
    })
}

/// The carry-over shown for a team at `clock`, sorted by meter id (`fold.md` 2).
pub fn carry_over(account: &TeamAccount, book: &RateBook, clock: Instant) -> Vec<(MeterNo, u64)> {
    by_meter_id(
        book,
        account
            .cumulatives
            .carry_over(book, account.era_at(book, clock)),
    )
}

/// Non-zero counters sorted by meter id.
pub fn by_meter_id(
    book: &RateBook,
    counters: impl Iterator<Item = (MeterNo, u64)>,
) -> Vec<(MeterNo, u64)> {
    let mut shown: Vec<_> = counters.filter(|(_, usage)| *usage > 0).collect();
    shown.sort_unstable_by_key(|(meter, _)| book.meter_id(*meter));
    shown
}

/// Lines that are not zero throughout, sorted by meter id, then card id.
pub fn shown_lines(month: &TeamMonth, book: &RateBook) -> Vec<(LineKey, Booked)> {
    let mut shown: Vec<_> = month
        .lines
        .iter()
        .filter(|(_, booked)| !booked.is_zero())
        .copied()
        .collect();
    shown.sort_unstable_by_key(|(key, _)| ids(book, *key));
    shown
}

/// The same of adjustments, by usage month first.
pub fn shown_adjustments(month: &TeamMonth, book: &RateBook) -> Vec<(Month, (LineKey, Booked))> {
    let nonzero = month
        .adjustments
        .iter()
        .filter(|(_, booked)| !booked.is_zero());
    let mut shown: Vec<_> = nonzero
        .map(|((usage_month, key), booked)| (*usage_month, (*key, *booked)))
        .collect();
    shown.sort_unstable_by_key(|(usage_month, (key, _))| (*usage_month, ids(book, *key)));
    shown
}

fn ids(book: &RateBook, key: LineKey) -> (&str, &str) {
    (book.meter_id(key.meter), &book.card(key.card).id)
}
