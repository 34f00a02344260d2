//! What a request asks for: a path and a query, read strictly. What is not exactly right is refused
//! with a reason; nothing is guessed, normalised or passed on.

use axum::http::{StatusCode, Uri};

use crate::billing::time::Month;

use super::problem::Problem;

/// Most bytes of path and query together: a team of 128 characters and two names as long, escaped.
pub const TARGET_BYTES_MAX: usize = 4 << 10;
/// Of a team id, as of an event's `subject` (`interfaces.md` 1).
pub const TEAM_CHARS_MAX: usize = 128;
/// Entries of a list in one answer.
pub const PAGE_MAX: usize = 24;
const PAGE_DEFAULT: usize = 12;

/// A team, and what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub team: String,
    pub question: Question,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    Account,
    Month(Month),
    Months(Page),
    Invoice(Month),
    Invoices(Page),
    Access {
        app: String,
        api: String,
        meter: Option<String>,
    },
    /// The usage page, with past months before this one.
    UsagePage {
        before: Option<Month>,
    },
}

/// A stretch of a list that is ascending by month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub after: Option<Month>,
    pub limit: usize,
}

impl Target {
    /// Reads what follows `/v1/teams/` or, with `is_page`, `/teams/`.
    pub fn read(uri: &Uri, is_page: bool) -> Result<Target, Problem> {
        let query = uri.query().unwrap_or_default();
        if uri.path().len() + query.len() > TARGET_BYTES_MAX {
            let detail = "path and query are longer than 4096 bytes together";
            return Err(Problem::new(StatusCode::URI_TOO_LONG, detail));
        }
        let prefix = if is_page { "/teams/" } else { "/v1/teams/" };
        let rest = uri.path().strip_prefix(prefix).unwrap_or_default();
        let mut segments = rest.split('/');
        let team = team_of(segments.next().unwrap_or_default())?;
        let segments: Vec<&str> = segments.collect();
        let mut query = Query::read(query)?;
        let question = match (is_page, segments.as_slice()) {
            (true, []) => Question::UsagePage {
                before: query.month("before")?,
            },
            (false, []) => Question::Account,
            (false, ["months"]) => Question::Months(query.page()?),
            (false, ["months", month]) => Question::Month(month_of(month)?),
            (false, ["invoices"]) => Question::Invoices(query.page()?),
            (false, ["invoices", month]) => Question::Invoice(month_of(month)?),
            (false, ["access"]) => Question::Access {
                app: query.required("app", "app= is missing: give the id of the calling app")?,
                api: query.required("api", "api= is missing: give the id of the called API")?,
                meter: query.take("meter"),
            },
            _ => {
                let detail = "of a team there are months, months/YYYY-MM, invoices, \
                              invoices/YYYY-MM and access; a slash in a team id is written %2F";
                return Err(Problem::not_found(detail));
            }
        };
        query.finish()?;
        Ok(Target { team, question })
    }

    /// The path as metrics name it.
    pub fn template(path: &str) -> &'static str {
        if path.starts_with("/teams/") {
            return "/teams/{team}";
        }
        let Some(rest) = path.strip_prefix("/v1/teams/") else {
            return "other";
        };
        match rest.split('/').nth(1) {
            None => "/v1/teams/{team}",
            Some("months") => "/v1/teams/{team}/months",
            Some("invoices") => "/v1/teams/{team}/invoices",
            Some("access") => "/v1/teams/{team}/access",
            Some(_) => "other",
        }
    }
}

fn team_of(segment: &str) -> Result<String, Problem> {
    let team = decoded(segment, false)
        .ok_or_else(|| Problem::bad_request("the team id is not percent-encoded UTF-8"))?;
    match team.chars().count() {
        0 => Err(Problem::bad_request("the team id is empty")),
        1..=TEAM_CHARS_MAX => Ok(team),
        _ => Err(Problem::bad_request("a team id has at most 128 characters")),
    }
}

fn month_of(text: &str) -> Result<Month, Problem> {
    let month = (text.len() == 7).then(|| Month::parse(text)).flatten();
    month.ok_or_else(|| Problem::bad_request("a month is written YYYY-MM, 1970-01 to 2199-12"))
}

/// `name=value` pairs that nobody has asked for yet.
struct Query(Vec<(String, String)>);

impl Query {
    fn read(text: &str) -> Result<Query, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text| {
                decoded(text, true)
                    .ok_or_else(|| Problem::bad_request("the query is not percent-encoded UTF-8"))
            };
            let (name, value) = (decode(name)?, decode(value)?);
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(Problem::bad_request("the query has a parameter twice"));
            }
            pairs.push((name, value));
        }
        Ok(Query(pairs))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(index).1)
    }

    fn required(&mut self, name: &str, missing: &'static str) -> Result<String, Problem> {
        self.take(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Problem::bad_request(missing))
    }

    fn month(&mut self, name: &str) -> Result<Option<Month>, Problem> {
        self.take(name).map(|text| month_of(&text)).transpose()
    }

    fn page(&mut self) -> Result<Page, Problem> {
        let after = self.month("after")?;
        let limit = match self.take("limit") {
            None => PAGE_DEFAULT,
            Some(text) => Some(text)
                .filter(|text| !text.starts_with('+'))
                .and_then(|text| text.parse().ok())
                .filter(|limit| (1..=PAGE_MAX).contains(limit))
                .ok_or_else(|| Problem::bad_request("limit is a number from 1 to 24"))?,
        };
        Ok(Page { after, limit })
    }

    fn finish(self) -> Result<(), Problem> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(Problem::bad_request("the query has an unknown parameter")),
        }
    }
}

/// Percent-decoded text; in a query a plus is a space. None: a broken escape, or not UTF-8.
fn decoded(text: &str, is_query: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            b'+' if is_query => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(target: &str) -> Result<Target, u16> {
        let is_page = target.starts_with("/teams/");
        Target::read(&target.parse().unwrap(), is_page).map_err(|problem| problem.status.as_u16())
    }

    #[test]
    fn a_team_is_any_text_of_128_characters() {
        for (path, team) in [
            ("team-7", "team-7"),
            ("%3Cscript%3E", "<script>"),
            ("a%2Fb", "a/b"),
            ("..%2F..", "../.."),
            ("..", ".."),
            ("%00", "\0"),
            ("a+b", "a+b"),
            ("%E2%80%AEx", "\u{202e}x"),
            ("%c3%a9", "é"),
        ] {
            let found = read(&format!("/v1/teams/{path}")).unwrap();
            assert_eq!(
                (found.team.as_str(), found.question),
                (team, Question::Account)
            );
        }
        let long = "%C3%A9".repeat(128);
        assert_eq!(
            read(&format!("/teams/{long}"))
                .unwrap()
                .team
                .chars()
                .count(),
            128
        );
        assert_eq!(read(&format!("/teams/{long}a")), Err(400));
        for path in ["", "%", "%4", "%zz", "%ff", "%C3", "%ed%a0%80", "?x=1"] {
            assert_eq!(read(&format!("/v1/teams/{path}")), Err(400), "{path}");
        }
    }

    #[test]
    fn queries_are_read_strictly() {
        let access = |query: &str| read(&format!("/v1/teams/t/access{query}"));
        assert_eq!(
            access("?app=a%26b&api=model+derivative&meter=md.complex")
                .unwrap()
                .question,
            Question::Access {
                app: "a&b".into(),
                api: "model derivative".into(),
                meter: Some("md.complex".into())
            }
        );
        for query in [
            "",
            "?app=a",
            "?api=a",
            "?app=&api=b",
            "?app=a&api=b&x=1",
            "?app=a&app=b&api=c",
            "?app=%&api=b",
        ] {
            assert_eq!(access(query), Err(400), "{query}");
        }
        let months = |query: &str| read(&format!("/v1/teams/t/months{query}"));
        assert!(months("?after=2026-01&limit=24").is_ok());
        for query in [
            "?limit=0",
            "?limit=25",
            "?limit=-1",
            "?limit=",
            "?limit=%2B5",
            "?after=9999-12",
            "?after=2026",
            "?before=2026-01",
        ] {
            assert_eq!(months(query), Err(400), "{query}");
        }
        for path in ["months/1970-01", "invoices/2199-12"] {
            assert!(read(&format!("/v1/teams/t/{path}")).is_ok(), "{path}");
        }
        for path in [
            "months/2026-13",
            "invoices/2026-1",
            "months/",
            "invoices/x",
            "months/1969-12",
            "invoices/2200-01",
        ] {
            assert_eq!(read(&format!("/v1/teams/t/{path}")), Err(400), "{path}");
        }
        for path in ["lots", "access/x", "months/2026-01/x", "../status", "/"] {
            assert_eq!(read(&format!("/v1/teams/t/{path}")), Err(404), "{path}");
        }
        assert_eq!(read("/teams/t/months"), Err(404));
        let long = "a".repeat(TARGET_BYTES_MAX);
        assert_eq!(access(&format!("?app={long}")), Err(414));
    }
}
