//! From a call to the meter that it falls under (`fold.md` 2, *Classification*; B25, B54, B55).

use super::event::Usage;
use super::rate_book::{CardApi, ClassifyRule, Meter, RateCard, Segment};

/// The meter of a usage event under `card`; None is *unrated*.
pub fn classify<'a>(card: &'a RateCard, usage: &Usage<&str>) -> Option<&'a Meter> {
    let api = match usage.api {
        Some(id) => Api {
            id: Some(id),
            of_card: card.apis.iter().find(|api| api.id.eq_ignore_ascii_case(id)),
        },
        None => {
            let of_card = usage.path.and_then(|path| api_of_path(card, path));
            Api {
                id: of_card.map(|api| api.id.as_ref()),
                of_card,
            }
        }
    };
    let rule = card
        .classify
        .iter()
        .find(|rule| matches(rule, &api, usage))?;
    card.meters.get(rule.meter?)
}

/// The API that an event belongs to.
struct Api<'a> {
    id: Option<&'a str>,
    /// As the card knows it; None: an API without roots.
    of_card: Option<&'a CardApi>,
}

/// For an event without `api`: the API whose root is the longest prefix of the path; of equally
/// long ones the smaller id (`card.apis` is sorted).
fn api_of_path<'a>(card: &'a RateCard, path: &str) -> Option<&'a CardApi> {
    let mut best: Option<(usize, &CardApi)> = None;
    for api in &card.apis {
        if let Some(root) = longest_root(api, path)
            && best.is_none_or(|(longest, _)| root > longest)
        {
            best = Some((root, api));
        }
    }
    best.map(|(_, api)| api)
}

/// Segments of the longest root of `api` that is a prefix of `path`.
fn longest_root(api: &CardApi, path: &str) -> Option<usize> {
    let is_prefix = |root: &&Vec<Segment>| {
        let mut path = segments(path);
        root.iter()
            .all(|wanted| path.next().is_some_and(|got| equal(wanted, got)))
    };
    api.roots.iter().filter(is_prefix).map(Vec::len).max()
}

/// A path cut at its first `?` and split at `/`; empty segments are dropped, nothing is decoded.
fn segments(path: &str) -> Segments<'_> {
    let end = path
        .bytes()
        .position(|byte| byte == b'?')
        .unwrap_or(path.len());
    Segments {
        rest: path.get(..end).unwrap_or(path),
    }
}

/// Splits by hand, byte by byte: this runs for every event, several times.
struct Segments<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let end = self.rest.bytes().position(|byte| byte == b'/');
            let (segment, rest) = match end {
                Some(end) => (self.rest.get(..end)?, self.rest.get(end.checked_add(1)?..)?),
                None => (self.rest, ""),
            };
            self.rest = rest;
            if !segment.is_empty() {
                return Some(segment);
            }
            // Nothing, and nothing after it.
            end?;
        }
    }
}

fn matches(rule: &ClassifyRule, api: &Api, usage: &Usage<&str>) -> bool {
    let same = |wanted: &Option<Box<str>>, got: Option<&str>| match wanted {
        None => true,
        Some(wanted) => got.is_some_and(|got| wanted.eq_ignore_ascii_case(got)),
    };
    let format_listed = |formats: &Vec<Box<str>>| {
        let listed = |got: &str| {
            formats
                .iter()
                .any(|format| format.eq_ignore_ascii_case(got))
        };
        usage.source_format.is_some_and(listed)
    };
    // The root is looked for last, since few rules have a path.
    let path_matches = |wanted: &Vec<Segment>| {
        usage.path.is_some_and(|path| {
            let root = api
                .of_card
                .and_then(|api| longest_root(api, path))
                .unwrap_or(0);
            is_path(wanted, segments(path).skip(root))
        })
    };
    same(&rule.api, api.id)
        && same(&rule.engine, usage.engine)
        && same(&rule.method, usage.method)
        && rule.source_format.as_ref().is_none_or(format_listed)
        && rule.path.as_ref().is_none_or(path_matches)
}

/// Same number of segments, each equal or a wildcard.
fn is_path<'a>(wanted: &[Segment], mut got: impl Iterator<Item = &'a str>) -> bool {
    wanted
        .iter()
        .all(|wanted| got.next().is_some_and(|got| equal(wanted, got)))
        && got.next().is_none()
}

fn equal(wanted: &Segment, got: &str) -> bool {
    match wanted {
        Segment::Literal(literal) => literal.as_ref() == got,
        Segment::Any => true,
    }
}
