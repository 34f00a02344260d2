//! The parts of a page: the document around it, its headers, tables, and numbers and times as
//! people read them. A page is whole: style is inside, there is no script, nothing else is fetched.

use std::fmt::{Display, Write};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::billing::time::{Instant, Month};
use crate::wire::shown_text::escaped;

use super::problem::Problem;

const STYLE: &str = include_str!("usage_page.css");
/// SHA-256 of [`STYLE`] in base64; a test says the right one.
const STYLE_HASH: &str = "9hF9TeRnE05Rj6eHo9qtDFmt3BnPsF0utSZvEVN5Hhk=";

/// A page as it is sent: nothing is run, fetched or kept.
pub fn response(status: StatusCode, body: Vec<u8>, more: HeaderMap) -> Response {
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{STYLE_HASH}'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'self'"
    );
    let policy =
        HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (header::CONTENT_SECURITY_POLICY, policy),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    (status, more, headers, body).into_response()
}

/// An error as a page, for whoever reads it in a browser.
pub fn problem(problem: &Problem) -> Response {
    let title = problem.status.canonical_reason().unwrap_or("Error");
    let body = document(title, |page| {
        let _ = write!(
            page,
            "<header><p class=\"kicker\">API usage</p><h1>{title}</h1></header>\n<main><section>\
             <p>{}</p></section></main>\n",
            escaped(&problem.detail)
        );
    });
    let more = problem.headers().into_iter().collect();
    response(problem.status, body.into_bytes(), more)
}

/// A document of this title, which is text.
pub fn document(title: &str, body: impl FnOnce(&mut String)) -> String {
    let title = escaped(title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    );
    body(&mut page);
    page.push_str("</body>\n</html>\n");
    page
}

/// Nothing where there are no rows. The first column names the row; numbers are to the right.
/// On a phone each row becomes a block: roles keep it a table for who hears it.
pub fn write_table(caption: &str, columns: &[&str], rows: Vec<Vec<String>>, page: &mut String) {
    const WORDS: [&str; 3] = ["Meter", "Lot", "Kind"];
    const DATES: [&str; 3] = ["Month", "Bought", "Expires"];
    if rows.is_empty() {
        return;
    }
    let class = |column: &str| match column {
        _ if WORDS.contains(&column) => "",
        _ if DATES.contains(&column) => " class=\"d\"",
        _ => " class=\"n\"",
    };
    let caption = escaped(caption);
    let _ = write!(
        page,
        "<div class=\"wide\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\">\
         <table role=\"table\"><caption>{caption}</caption><thead><tr role=\"row\">"
    );
    for column in columns {
        let _ = write!(
            page,
            "<th role=\"columnheader\" scope=\"col\"{}>{column}</th>",
            class(column)
        );
    }
    page.push_str("</tr></thead><tbody>\n");
    for row in rows {
        page.push_str("<tr role=\"row\">");
        for (index, (cell, column)) in row.iter().zip(columns).enumerate() {
            let (cell, class) = (escaped(cell), class(column));
            let _ = match index {
                0 => write!(
                    page,
                    "<th role=\"rowheader\" scope=\"row\"{class}>{cell}</th>"
                ),
                _ => write!(
                    page,
                    "<td role=\"cell\" data-name=\"{column}\"{class}>{cell}</td>"
                ),
            };
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

/// Values are HTML.
pub fn write_facts(facts: &[(&str, String)], page: &mut String) {
    page.push_str("<dl>");
    for (what, how_much) in facts {
        let _ = write!(page, "<dt>{what}</dt><dd>{how_much}</dd>");
    }
    page.push_str("</dl>\n");
}

/// A number as people read it: 1,234,567.5.
pub fn grouped(number: impl Display) -> String {
    let text = number.to_string();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("\u{2212}", digits),
        None => ("", text.as_str()),
    };
    let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut shown = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown + fraction
}

pub fn month_name(month: Month) -> String {
    const NAMES: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let text = month.to_string();
    let (year, number) = text.split_once('-').unwrap_or((&text, ""));
    let index = number.parse::<usize>().unwrap_or(1).saturating_sub(1);
    format!("{} {year}", NAMES.get(index).unwrap_or(&number))
}

/// `2026-01-15`.
pub fn date(at: Instant) -> String {
    at.to_string()
        .split('T')
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// `2026-01-15 10:00`, cut off at the minute.
pub fn date_time(at: Instant) -> String {
    at.to_string()
        .replacen('T', " ", 1)
        .chars()
        .take(16)
        .collect()
}

/// The same as HTML.
pub fn time(at: Instant) -> String {
    format!("<time datetime=\"{at}\">{}</time>", date_time(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, shown) in [
            ("0", "0"),
            ("999", "999"),
            ("1000", "1,000"),
            ("1234567.25", "1,234,567.25"),
            ("-1280.5", "\u{2212}1,280.5"),
        ] {
            assert_eq!(grouped(number), shown);
        }
    }

    /// Chromium refuses a style that the policy does not name.
    #[test]
    fn the_policy_names_the_style() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/usage_page.css");
        let said = std::process::Command::new("openssl")
            .args(["dgst", "-sha256", "-binary", path])
            .output()
            .expect("openssl starts");
        let encoded: String = said.stdout.chunks(3).map(base64).collect();
        assert_eq!(STYLE_HASH, encoded, "the hash of the style as it is now");
    }

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let at = |index: usize| u32::from(bytes.get(index).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        let digit = |index: usize| match index <= bytes.len() {
            true => char::from(DIGITS[(word >> (18 - 6 * index)) as usize & 63]),
            false => '=',
        };
        (0..4).map(digit).collect()
    }
}
