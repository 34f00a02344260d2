//! An invoice as a table for a person: what `inspect --out` prints.
//!
//! It shows what a monthly-invoice event says (`interfaces.md` 2) and calculates nothing: numbers
//! stay the text that they are.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::Deserialize;

use crate::wire::shown_text::printable;

use super::table::aligned;

const TYPE: &str = "meterfold.monthly-invoice.v1";

/// A monthly-invoice event, as far as it is shown.
#[derive(Debug, Deserialize)]
pub struct Invoice {
    #[serde(rename = "subject")]
    pub team: String,
    #[serde(rename = "time")]
    closed_at: String,
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    month: String,
    currency: String,
    lines: Vec<Line>,
    adjustments: Vec<Line>,
    subtotal: String,
    tax: Option<Tax>,
    total: String,
    free_usage: BTreeMap<String, u64>,
    balance: String,
    debt: String,
    carry_over: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
struct Line {
    /// Of adjustments only.
    usage_month: Option<String>,
    meter: String,
    rate_card: String,
    usage: i64,
    tokens: String,
    prepaid: String,
    postpaid: String,
    uncharged: String,
    unit_price: Option<String>,
    amount: String,
}

#[derive(Debug, Deserialize)]
struct Tax {
    rate: String,
    amount: String,
}

impl Invoice {
    /// Reads a line of derived.ndjson; None: an event of another type.
    pub fn read(line: &str) -> Result<Option<Invoice>, serde_json::Error> {
        #[derive(Deserialize)]
        struct Kind {
            r#type: String,
        }
        let kind: Kind = serde_json::from_str(line)?;
        if kind.r#type != TYPE {
            return Ok(None);
        }
        serde_json::from_str(line).map(Some)
    }

    pub fn month(&self) -> &str {
        &self.data.month
    }

    /// Lines and adjustments.
    pub fn line_count(&self) -> usize {
        self.data.lines.len() + self.data.adjustments.len()
    }
}

const COLUMNS: [&str; 10] = [
    "meter",
    "rate card",
    "month",
    "usage",
    "tokens",
    "prepaid",
    "postpaid",
    "uncharged",
    "unit price",
    "amount",
];
/// The first columns hold names, the others numbers.
const NAME_COLUMNS: usize = 3;

type Row = [String; COLUMNS.len()];

impl Display for Invoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = &self.data;
        writeln!(
            f,
            "Invoice {} of {}, in {}, closed {}\n",
            data.month,
            printable(&self.team),
            printable(&data.currency),
            self.closed_at
        )?;
        let rows: Vec<Row> = std::iter::once(COLUMNS.map(String::from))
            .chain(data.lines.iter().map(|line| line.row(&data.month)))
            .chain(data.adjustments.iter().map(|line| line.row(&data.month)))
            .chain(data.sums())
            .collect();
        f.write_str(&aligned(&rows, NAME_COLUMNS))?;
        writeln!(f)?;
        writeln!(f, "free usage   {}", counters(&data.free_usage))?;
        writeln!(f, "carry-over   {}", counters(&data.carry_over))?;
        writeln!(f, "balance      {} tokens", data.balance)?;
        writeln!(f, "debt         {} tokens", data.debt)
    }
}

impl Line {
    /// An adjustment names the month of its usage, a line has the invoice's.
    fn row(&self, invoice_month: &str) -> Row {
        [
            printable(&self.meter),
            printable(&self.rate_card),
            self.usage_month.as_deref().unwrap_or(invoice_month).into(),
            self.usage.to_string(),
            self.tokens.clone(),
            self.prepaid.clone(),
            self.postpaid.clone(),
            self.uncharged.clone(),
            self.unit_price.clone().unwrap_or_else(|| "-".into()),
            self.amount.clone(),
        ]
    }
}

impl Data {
    fn sums(&self) -> impl Iterator<Item = Row> {
        let tax = self
            .tax
            .as_ref()
            .map(|tax| (format!("tax {}", tax.rate), tax.amount.clone()));
        [Some(("subtotal".into(), self.subtotal.clone())), tax]
            .into_iter()
            .flatten()
            .chain([("total".into(), self.total.clone())])
            .map(|(name, amount)| {
                let mut row = Row::default();
                [row[COLUMNS.len() - 2], row[COLUMNS.len() - 1]] = [name, amount];
                row
            })
    }
}

fn counters(counters: &BTreeMap<String, u64>) -> String {
    if counters.is_empty() {
        return "none".into();
    }
    let counters: Vec<String> = counters
        .iter()
        .map(|(name, count)| format!("{} {count}", printable(name)))
        .collect();
    counters.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"specversion":"1.0","id":"monthly-invoice/team-7\u001b[2J/2026-01","source":"meterfold","type":"meterfold.monthly-invoice.v1","subject":"team-7\u001b[2J","time":"2026-02-04T00:00:00Z","datacontenttype":"application/json","data":{"cause":null,"month":"2026-01","currency":"USD","lines":[{"meter":"md.complex","rate_card":"aps-2025-12","usage":2,"tokens":"3","prepaid":"2","postpaid":"1","uncharged":"0","unit_price":"3.00","amount":"3.00"}],"adjustments":[{"usage_month":"2025-12","meter":"automation.autocad","rate_card":"aps-2025-12","usage":-720,"tokens":"-1","prepaid":"0","postpaid":"-1","uncharged":"0","unit_price":null,"amount":"-3.00"}],"subtotal":"0.00","tax":{"rate":"0.10","amount":"0.00"},"total":"0.00","free_usage":{"md.complex":1},"balance":"0","debt":"0","carry_over":{}}}"#;

    const TABLE: &str = r"Invoice 2026-01 of team-7\u{1b}[2J, in USD, closed 2026-02-04T00:00:00Z

meter               rate card    month    usage  tokens  prepaid  postpaid  uncharged  unit price  amount
md.complex          aps-2025-12  2026-01      2       3        2         1          0        3.00    3.00
automation.autocad  aps-2025-12  2025-12   -720      -1        0        -1          0           -   -3.00
                                                                                         subtotal    0.00
                                                                                         tax 0.10    0.00
                                                                                            total    0.00

free usage   md.complex 1
carry-over   none
balance      0 tokens
debt         0 tokens
";

    #[test]
    fn an_invoice_is_shown_as_it_reads() {
        let invoice = Invoice::read(EVENT).unwrap().unwrap();
        assert_eq!(invoice.line_count(), 2);
        assert_eq!(invoice.to_string(), TABLE);
    }

    #[test]
    fn other_events_are_passed_over_and_other_text_is_not() {
        let other = EVENT.replace("meterfold.monthly-invoice.v1", "meterfold.cap-reached.v1");
        assert!(Invoice::read(&other).unwrap().is_none());
        assert!(Invoice::read("{}").is_err());
    }
}
