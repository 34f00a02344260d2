//! `meterfold replay --what-if`: what two folds of the same inputs under two rate books came to,
//! month by month and team by team.
//!
//! Compared is what the folds wrote: invoices of `derived.ndjson`, months of `accounts.ndjson`.
//! Nothing is billed here; numbers are read, subtracted and added up, exactly. Both files are read
//! side by side; only invoices that differ stay in memory.

pub mod from_log;
mod read;
mod table;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use rust_decimal::Decimal;

use crate::files::outputs::{ACCOUNTS, DERIVED};
use crate::processor::counts::Counts;
use crate::wire::object::Object;

use super::failure::Failure;
use read::{Invoices, TeamMonths, merged};

/// The differences, a line a team and month, in an output directory.
pub const WHAT_IF: &str = "what-if.ndjson";

/// Under the book of the run, and under the other one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair<T> {
    pub book: T,
    pub what_if: T,
}

/// Currency to the totals of invoices.
type Money = BTreeMap<String, Pair<Decimal>>;

/// What a team's month comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Difference {
    money: Money,
    /// Tokens of lines and adjustments, and who pays them.
    charge: Pair<Decimal>,
    prepaid: Pair<Decimal>,
    postpaid: Pair<Decimal>,
    uncharged: Pair<Decimal>,
}

/// What all of it comes to.
#[derive(Default)]
pub struct Comparison {
    /// Month to the sums over the teams that differ in it.
    months: BTreeMap<String, Difference>,
    /// The largest differences in money, by currency.
    largest: BTreeMap<String, Vec<Row>>,
    teams_changed: u64,
    teams_unchanged: u64,
    /// Teams and months whose tokens differ and whose money does not.
    tokens_only: u64,
    lines: u64,
}

/// A team's month in one currency.
#[derive(Clone, Debug)]
struct Row {
    team: String,
    month: String,
    money: Pair<Decimal>,
}

/// Rows of each currency that the table shows.
const ROWS_MAX: usize = 20;

/// Compares the outputs in `book` with those in `what_if`, and writes the differences to `out`.
pub fn compare(book: &Path, what_if: &Path, out: &Path) -> Result<Comparison, Failure> {
    let mut invoices = changed_invoices(book, what_if)?;
    let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", out.display()));
    let mut lines = BufWriter::new(File::create(out).map_err(failed)?);
    let mut comparison = Comparison::default();
    let accounts = Pair {
        book: TeamMonths::open(&book.join(ACCOUNTS))?,
        what_if: TeamMonths::open(&what_if.join(ACCOUNTS))?,
    };
    merged(accounts, |team: String, months| {
        let mut by_month = invoices.remove(&team).unwrap_or_default();
        for (month, parts) in months.book.unwrap_or_default() {
            by_month
                .entry(month)
                .or_default()
                .add(|pair| &mut pair.book, &parts)?;
        }
        for (month, parts) in months.what_if.unwrap_or_default() {
            by_month
                .entry(month)
                .or_default()
                .add(|pair| &mut pair.what_if, &parts)?;
        }
        by_month.retain(|_, difference| difference.is_one());
        match by_month.is_empty() {
            true => comparison.teams_unchanged += 1,
            false => comparison.teams_changed += 1,
        }
        for (month, difference) in by_month {
            lines
                .write_all(&difference.line(&team, &month)?)
                .map_err(failed)?;
            comparison.add(&team, month, &difference)?;
        }
        Ok(())
    })?;
    let file = lines
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    Ok(comparison)
}

/// Team to month to the totals, where they are not equal. Months close in their order, so both
/// files have their invoices by month, then team.
fn changed_invoices(
    book: &Path,
    what_if: &Path,
) -> Result<BTreeMap<String, BTreeMap<String, Difference>>, Failure> {
    let mut changed: BTreeMap<String, BTreeMap<String, Difference>> = BTreeMap::new();
    let invoices = Pair {
        book: Invoices::open(&book.join(DERIVED))?,
        what_if: Invoices::open(&what_if.join(DERIVED))?,
    };
    merged(invoices, |(month, team): (String, String), totals| {
        if totals.book == totals.what_if {
            return Ok(());
        }
        let months = changed.entry(team).or_default();
        let money = &mut months.entry(month).or_default().money;
        if let Some((currency, total)) = totals.book {
            money.entry(currency).or_default().book = total;
        }
        if let Some((currency, total)) = totals.what_if {
            money.entry(currency).or_default().what_if = total;
        }
        Ok(())
    })?;
    Ok(changed)
}

impl Comparison {
    fn add(&mut self, team: &str, month: String, difference: &Difference) -> Result<(), Failure> {
        self.lines += 1;
        self.tokens_only += u64::from(difference.money.is_empty());
        for (currency, money) in &difference.money {
            let rows = self.largest.entry(currency.clone()).or_default();
            rows.push(Row {
                team: team.into(),
                month: month.clone(),
                money: *money,
            });
            if rows.len() > 2 * ROWS_MAX {
                keep_largest(rows);
            }
        }
        self.months.entry(month).or_default().add_all(difference)
    }

    /// For a person: sums by month, the largest differences, and how dispositions moved.
    pub fn into_table(mut self, counts: Pair<&Counts>) -> Result<String, Failure> {
        self.largest.values_mut().for_each(keep_largest);
        table::write(&self, counts)
    }
}

/// Largest first; of equal ones in the order of teams and months.
fn keep_largest(rows: &mut Vec<Row>) {
    // A difference that does not fit is refused where it is written.
    let size = |row: &Row| row.money.difference().unwrap_or_default().abs();
    rows.sort_by(|a, b| {
        size(b)
            .cmp(&size(a))
            .then_with(|| (&a.team, &a.month).cmp(&(&b.team, &b.month)))
    });
    rows.truncate(ROWS_MAX);
}

impl Difference {
    fn is_one(&self) -> bool {
        self.money.values().any(Pair::differs)
            || self.tokens().iter().any(|(_, pair)| pair.differs())
    }

    fn tokens(&self) -> [(&'static str, &Pair<Decimal>); 4] {
        [
            ("tokens", &self.charge),
            ("prepaid", &self.prepaid),
            ("postpaid", &self.postpaid),
            ("uncharged", &self.uncharged),
        ]
    }

    /// Adds [charge, prepaid, postpaid, uncharged] to one side.
    fn add(
        &mut self,
        side: fn(&mut Pair<Decimal>) -> &mut Decimal,
        parts: &[Decimal; 4],
    ) -> Result<(), Failure> {
        let sums = [
            &mut self.charge,
            &mut self.prepaid,
            &mut self.postpaid,
            &mut self.uncharged,
        ];
        for (sum, part) in sums.into_iter().zip(parts) {
            let sum = side(sum);
            *sum = plus(*sum, *part)?;
        }
        Ok(())
    }

    fn add_all(&mut self, other: &Difference) -> Result<(), Failure> {
        for (currency, money) in &other.money {
            let sum = self.money.entry(currency.clone()).or_default();
            sum.add(money)?;
        }
        self.charge.add(&other.charge)?;
        self.prepaid.add(&other.prepaid)?;
        self.postpaid.add(&other.postpaid)?;
        self.uncharged.add(&other.uncharged)
    }

    /// A line of [`WHAT_IF`].
    fn line(&self, team: &str, month: &str) -> Result<Vec<u8>, Failure> {
        let mut out = Vec::new();
        let mut shown: Vec<(&str, [String; 3])> = Vec::new();
        for (currency, pair) in &self.money {
            shown.push((currency, pair.shown(|amount| amount.to_string())?));
        }
        let mut tokens: Vec<(&str, [String; 3])> = Vec::new();
        for (name, pair) in self.tokens() {
            tokens.push((name, pair.shown(trimmed)?));
        }
        let write_pair = |object: &mut Object, (name, pair): &(&str, [String; 3])| {
            object.object(name, |object| {
                for (member, value) in ["book", "what_if", "difference"].iter().zip(pair) {
                    object.string(member, value);
                }
            });
        };
        let mut object = Object::begin(&mut out);
        object.string("team", team);
        object.string("month", month);
        object.object("money", |object| {
            shown.iter().for_each(|pair| write_pair(object, pair));
        });
        tokens.iter().for_each(|pair| write_pair(&mut object, pair));
        object.end();
        out.push(b'\n');
        Ok(out)
    }
}

impl Pair<Decimal> {
    fn differs(&self) -> bool {
        self.book != self.what_if
    }

    fn difference(&self) -> Result<Decimal, Failure> {
        plus(self.what_if, -self.book)
    }

    fn add(&mut self, other: &Pair<Decimal>) -> Result<(), Failure> {
        self.book = plus(self.book, other.book)?;
        self.what_if = plus(self.what_if, other.what_if)?;
        Ok(())
    }

    /// Both sides and the difference, each with the digits of the longest.
    fn shown(&self, show: fn(Decimal) -> String) -> Result<[String; 3], Failure> {
        let mut amounts = [self.book, self.what_if, self.difference()?];
        let scale = amounts.iter().map(Decimal::scale).max().unwrap_or(0);
        amounts.iter_mut().for_each(|amount| amount.rescale(scale));
        Ok(amounts.map(show))
    }
}

/// Tokens, without trailing zeros.
fn trimmed(tokens: Decimal) -> String {
    tokens.normalize().to_string()
}

/// A sum that keeps every digit.
fn plus(a: Decimal, b: Decimal) -> Result<Decimal, Failure> {
    let scale = a.scale().max(b.scale());
    let sum = a.checked_add(b).map(|mut sum| {
        // A zero gives up its digits; a sum that had no room for its own cannot get them back.
        sum.rescale(scale);
        sum
    });
    let sum = sum.filter(|sum| sum.scale() == scale);
    sum.ok_or_else(|| {
        Failure::new(
            9,
            "an invariant broke: a sum of amounts left the exact range",
        )
    })
}
