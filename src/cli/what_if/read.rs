//! Outputs of two folds, read side by side.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use rust_decimal::Decimal;
use serde::Deserialize;

use super::{Pair, plus};
use crate::cli::failure::Failure;

/// Entries ascending by key.
pub trait Entries {
    type Key: Ord;
    type Value;

    fn next(&mut self) -> Result<Option<(Self::Key, Self::Value)>, Failure>;
}

/// Visits the keys of both, ascending, with the value that each has.
pub fn merged<E: Entries>(
    mut entries: Pair<E>,
    mut visit: impl FnMut(E::Key, Pair<Option<E::Value>>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut heads = Pair {
        book: entries.book.next()?,
        what_if: entries.what_if.next()?,
    };
    loop {
        let order = match (&heads.book, &heads.what_if) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((book, _)), Some((what_if, _))) => book.cmp(what_if),
        };
        let mut taken = Pair {
            book: None,
            what_if: None,
        };
        let mut key = None;
        if order.is_le()
            && let Some((name, value)) = heads.book.take()
        {
            (key, taken.book) = (Some(name), Some(value));
            heads.book = entries.book.next()?;
        }
        if order.is_ge()
            && let Some((name, value)) = heads.what_if.take()
        {
            (key, taken.what_if) = (Some(name), Some(value));
            heads.what_if = entries.what_if.next()?;
        }
        if let Some(key) = key {
            visit(key, taken)?;
        }
    }
}

/// The invoices of `derived.ndjson`: (month, team) to (currency, total).
pub struct Invoices(Lines);

/// The months of `accounts.ndjson`: team to month to [charge, prepaid, postpaid, uncharged].
pub struct TeamMonths(Lines);

impl Invoices {
    pub fn open(path: &Path) -> Result<Invoices, Failure> {
        Lines::open(path).map(Invoices)
    }
}

impl Entries for Invoices {
    type Key = (String, String);
    type Value = (String, Decimal);

    fn next(&mut self) -> Result<Option<(Self::Key, Self::Value)>, Failure> {
        while let Some(kind) = self.0.next_as::<Kind>()? {
            if kind.r#type != "meterfold.monthly-invoice.v1" {
                continue;
            }
            let invoice: InvoiceEvent = self.0.same_as()?;
            let key = (invoice.data.month.into(), invoice.subject.into());
            let total = self.0.decimal(invoice.data.total)?;
            return Ok(Some((key, (invoice.data.currency.into(), total))));
        }
        Ok(None)
    }
}

impl TeamMonths {
    pub fn open(path: &Path) -> Result<TeamMonths, Failure> {
        Lines::open(path).map(TeamMonths)
    }
}

impl Entries for TeamMonths {
    type Key = String;
    type Value = BTreeMap<String, [Decimal; 4]>;

    fn next(&mut self) -> Result<Option<(Self::Key, Self::Value)>, Failure> {
        let Some(account) = self.0.next_as::<Account>()? else {
            return Ok(None);
        };
        let mut months = BTreeMap::new();
        for month in account.months {
            let mut sums = [Decimal::ZERO; 4];
            for line in month.lines.iter().chain(&month.adjustments) {
                let parts = [&line.tokens, &line.prepaid, &line.postpaid, &line.uncharged];
                for (sum, part) in sums.iter_mut().zip(parts) {
                    *sum = plus(*sum, self.0.decimal(part)?)?;
                }
            }
            months.insert(month.month, sums);
        }
        Ok(Some((account.team, months)))
    }
}

/// The lines of an output file, one at a time.
struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    line: String,
    number: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Lines, Failure> {
        let file = File::open(path)
            .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        Ok(Lines {
            path: path.into(),
            file: BufReader::with_capacity(1 << 18, file),
            line: String::new(),
            number: 0,
        })
    }

    fn next_as<'a, T: Deserialize<'a>>(&'a mut self) -> Result<Option<T>, Failure> {
        self.line.clear();
        self.number += 1;
        match self.file.read_line(&mut self.line) {
            Ok(0) => Ok(None),
            Ok(_) => self.same_as().map(Some),
            Err(error) => Err(self.fault(&error)),
        }
    }

    /// The line at hand.
    fn same_as<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        serde_json::from_str(&self.line).map_err(|error| self.fault(&error))
    }

    fn decimal(&self, text: &str) -> Result<Decimal, Failure> {
        Decimal::from_str_exact(text).map_err(|error| self.fault(&error))
    }

    fn fault(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::failed(format!(
            "{} line {}: {error}",
            self.path.display(),
            self.number
        ))
    }
}

#[derive(Deserialize)]
struct Kind {
    r#type: String,
}

#[derive(Deserialize)]
struct InvoiceEvent<'a> {
    #[serde(borrow)]
    subject: Cow<'a, str>,
    data: InvoiceData<'a>,
}

#[derive(Deserialize)]
struct InvoiceData<'a> {
    month: &'a str,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    total: &'a str,
}

#[derive(Deserialize)]
struct Account {
    team: String,
    months: Vec<Month>,
}

#[derive(Deserialize)]
struct Month {
    month: String,
    lines: Vec<Line>,
    adjustments: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    tokens: String,
    prepaid: String,
    postpaid: String,
    uncharged: String,
}
