//! An explanation as one page that needs nothing else: style and charts are in it, no script.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::billing::amount::Tokens;
use crate::billing::time::MILLIS_PER_DAY;
use crate::wire::shown_text::escaped;

use super::chart::{Amounts, Chart};
use super::document::{Document, Section, Table};
use super::explanation::Explanation;

const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#fff;--ink:#1d2430;--soft:#5b6675;--line:#d8dee6;--s0:#2f6fb3;--s1:#d1762a;--s2:#a8324a}\
@media(prefers-color-scheme:dark){:root{--bg:#14181e;--ink:#e6eaf0;--soft:#9aa6b5;--line:#323b47;--s0:#6aa8e8;--s1:#eda35f;--s2:#e0708a}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:72rem;padding:1rem;background:var(--bg);color:var(--ink);font:16px/1.45 system-ui,sans-serif}\
h1{font-size:1.5rem;overflow-wrap:anywhere}h2{font-size:1.1rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--line);overflow-wrap:anywhere}\
dl{display:grid;grid-template-columns:minmax(6rem,max-content) 1fr;gap:.15rem 1rem;margin:.5rem 0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.875rem}th,td{padding:.25rem .75rem .25rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line);unicode-bidi:isolate}\
th{color:var(--soft);font-weight:600;white-space:nowrap}.number{text-align:right;font-variant-numeric:tabular-nums}\
figure{margin:1rem 0;overflow-x:auto}figcaption{font-size:.875rem}svg{display:block;width:100%;min-width:32rem;max-width:44rem;height:auto}svg text{fill:var(--soft);font-size:11px}svg .day{text-anchor:middle}svg line{stroke:var(--line)}\
.s0{fill:var(--s0)}.s1{fill:var(--s1)}.s2{fill:var(--s2)}.key{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 .9em}.k0{background:var(--s0)}.k1{background:var(--s1)}.k2{background:var(--s2)}";

pub fn write(explanation: &Explanation, document: &Document) -> String {
    let title = escaped(&document.title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
    );
    let charts = charts(explanation);
    for (number, section) in document.sections.iter().enumerate() {
        write_section(section, &mut page);
        // After the amounts, before the way to them.
        if number == 1 {
            charts
                .iter()
                .for_each(|chart| write_chart(chart, &mut page));
        }
    }
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// Tokens by day and payer, then each meter's usage by day.
fn charts(explanation: &Explanation) -> Vec<Chart<'static>> {
    let month = explanation.month;
    let days = (month.end().millis() - month.start().millis()) / MILLIS_PER_DAY;
    let days_in_month = u8::try_from(days).unwrap_or(31);
    let by_day = explanation.charges_by_day().into_iter();
    let tokens = by_day.map(|(day, booked)| {
        let parts = [booked.prepaid, booked.postpaid, booked.uncharged];
        (day, parts.map(Tokens::micros))
    });
    let mut charts = vec![Chart {
        title: "Tokens charged by day".into(),
        series: ["prepaid", "postpaid", "uncharged"],
        days: tokens.collect(),
        days_in_month,
        show: |micros| Tokens::from_micros(micros).unwrap_or_default().to_string(),
    }];
    let mut by_meter: BTreeMap<&str, BTreeMap<u8, Amounts>> = BTreeMap::new();
    for ((day, meter), row) in &explanation.days {
        if explanation.shows(*meter) {
            let name = explanation.book.meter_id(*meter);
            let days = by_meter.entry(name).or_default();
            days.insert(*day, [row.free, row.booked.usage, row.over_cap]);
        }
    }
    charts.extend(by_meter.into_iter().map(|(name, days)| Chart {
        title: format!("Usage of {name} by day"),
        series: ["free", "rated", "over cap"],
        days,
        days_in_month,
        show: |usage| usage.to_string(),
    }));
    charts
}

fn write_chart(chart: &Chart, page: &mut String) {
    let Some(svg) = chart.svg() else { return };
    let _ = write!(
        page,
        "<figure tabindex=\"0\" aria-label=\"{0}\">\n<figcaption>{0}",
        escaped(&chart.title)
    );
    for (number, name) in chart.series.iter().enumerate() {
        if chart.days.values().any(|amounts| amounts[number] != 0) {
            let _ = write!(page, "<span class=\"key k{number}\"></span>{name}");
        }
    }
    let _ = write!(page, "</figcaption>\n{svg}\n</figure>\n");
}

fn write_section(section: &Section, page: &mut String) {
    if !section.heading.is_empty() {
        let _ = writeln!(page, "<h2>{}</h2>", escaped(&section.heading));
    }
    if !section.facts.is_empty() {
        page.push_str("<dl>\n");
        for (what, how_much) in &section.facts {
            let (what, how_much) = (escaped(what), escaped(how_much));
            let _ = writeln!(page, "<dt>{what}</dt><dd>{how_much}</dd>");
        }
        page.push_str("</dl>\n");
    }
    for table in &section.tables {
        write_table(table, &section.heading, page);
    }
}

/// A table may be wider than the screen: it is reached and moved by keys, under the name of its section.
fn write_table(table: &Table, name: &str, page: &mut String) {
    let class = |column: usize| match column < table.name_columns {
        true => "",
        false => " class=\"number\"",
    };
    let _ = write!(
        page,
        "<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"{}\"><table>\n<tr>",
        escaped(name)
    );
    for (column, name) in table.columns.iter().enumerate() {
        let _ = write!(page, "<th scope=\"col\"{}>{name}</th>", class(column));
    }
    page.push_str("</tr>\n");
    for row in &table.rows {
        page.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let _ = write!(page, "<td{}>{}</td>", class(column), escaped(cell));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n");
}
