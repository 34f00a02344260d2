//! The table that compares two rate books, for a person.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::{Comparison, Difference, Pair, ROWS_MAX, Row, WHAT_IF, trimmed};
use crate::cli::failure::Failure;
use crate::cli::table::aligned;
use crate::processor::counts::Counts;
use crate::wire::shown_text::printable;

/// Name columns stand left, numbers right.
const NAME_COLUMNS: usize = 3;

type Cells = [String; 6];

pub fn write(comparison: &Comparison, counts: Pair<&Counts>) -> Result<String, Failure> {
    let mut text = format!(
        "\nUnder the other rate book: {} of {} teams differ, {} do not\n",
        comparison.teams_changed,
        comparison.teams_changed + comparison.teams_unchanged,
        comparison.teams_unchanged
    );
    if comparison.lines > 0 {
        text.push('\n');
        text.push_str(&aligned(&sums(comparison)?, NAME_COLUMNS));
        text.push('\n');
        text.push_str(&aligned(&teams(comparison)?, NAME_COLUMNS));
        text.push_str(&format!(
            "\n{} teams and months differ, {} of them in tokens alone; {WHAT_IF} has them all.\n",
            comparison.lines, comparison.tokens_only
        ));
        if comparison
            .largest
            .values()
            .any(|rows| rows.len() == ROWS_MAX)
        {
            text.push_str(&format!(
                "The {ROWS_MAX} largest differences of each currency are shown.\n"
            ));
        }
    }
    let moved = dispositions(counts);
    if moved.len() > 1 {
        text.push('\n');
        text.push_str(&aligned(&moved, 1));
    }
    Ok(text)
}

/// Sums over the teams that differ: by month, then of all months.
fn sums(comparison: &Comparison) -> Result<Vec<Cells>, Failure> {
    let mut rows = vec![head("teams that differ", "sum of")];
    let mut all = Difference::default();
    for (month, difference) in &comparison.months {
        rows.extend(rows_of(month, difference)?);
        all.add_all(difference)?;
    }
    rows.extend(rows_of("all", &all)?);
    Ok(rows)
}

fn rows_of(month: &str, difference: &Difference) -> Result<Vec<Cells>, Failure> {
    let mut rows = Vec::new();
    let name = |what: &str| [String::from("(all)"), month.into(), what.into()];
    for (currency, money) in &difference.money {
        rows.push(cells(name(&printable(currency)), money, |amount| {
            amount.to_string()
        })?);
    }
    for (what, tokens) in difference.tokens() {
        rows.push(cells(name(what), tokens, trimmed)?);
    }
    Ok(rows)
}

fn teams(comparison: &Comparison) -> Result<Vec<Cells>, Failure> {
    let mut rows = vec![head("team", "currency")];
    let by_currency: &BTreeMap<String, Vec<Row>> = &comparison.largest;
    for (currency, largest) in by_currency {
        for row in largest {
            let name = [printable(&row.team), row.month.clone(), printable(currency)];
            rows.push(cells(name, &row.money, |amount| amount.to_string())?);
        }
    }
    Ok(rows)
}

fn head(first: &str, third: &str) -> Cells {
    [first, "month", third, "book", "what if", "difference"].map(String::from)
}

fn cells(
    [first, second, third]: [String; NAME_COLUMNS],
    pair: &Pair<Decimal>,
    show: fn(Decimal) -> String,
) -> Result<Cells, Failure> {
    let [book, what_if, difference] = pair.shown(show)?;
    Ok([first, second, third, book, what_if, difference])
}

/// Dispositions of which there are more or fewer.
fn dispositions(counts: Pair<&Counts>) -> Vec<[String; 3]> {
    let mut pairs: BTreeMap<&'static str, Pair<u64>> = BTreeMap::new();
    for (kind, count) in &counts.book.by_disposition {
        pairs.entry(kind.name()).or_default().book = *count;
    }
    for (kind, count) in &counts.what_if.by_disposition {
        pairs.entry(kind.name()).or_default().what_if = *count;
    }
    let dead_letters = |counts: &Counts| counts.dead_letters.values().sum();
    pairs.insert(
        "dead_letter",
        Pair {
            book: dead_letters(counts.book),
            what_if: dead_letters(counts.what_if),
        },
    );
    let head = ["events", "book", "what if"].map(String::from);
    let moved = pairs.iter().filter(|(_, pair)| pair.book != pair.what_if);
    let rows = moved.map(|(name, pair)| {
        [
            name.to_string(),
            pair.book.to_string(),
            pair.what_if.to_string(),
        ]
    });
    std::iter::once(head).chain(rows).collect()
}
