//! From a call to the meter that it falls under (`fold.md` 2, *Classification*; B25, B54, B55).

use super::event::Usage;
use super::rate_book::{CardApi, ClassifyRule, Meter, RateCard, Segment};

/// The meter of a usage event under `card`; None is *unrated*.
pub fn classify<'a>(card: &'a RateCard, usage: &Usage<&str>) -> Option<&'a Meter> {
    let path = usage.path.map(segments);
    let located = match usage.api {
        Some(id) => {
            let api = card.apis.iter().find(|api| api.id.eq_ignore_ascii_case(id));
            let root = api.and_then(|api| longest_root(api, path.as_deref()));
            Located {
                api: Some(id),
                root_segments: root.unwrap_or(0),
            }
        }
        None => locate(card, path.as_deref()),
    };
    let relative = path
        .as_deref()
        .map(|path| path.get(located.root_segments..).unwrap_or(&[]));
    let rule = card
        .classify
        .iter()
        .find(|rule| matches(rule, located.api, relative, usage))?;
    card.meters.get(rule.meter?)
}

/// The API that an event belongs to and how much of its path is that API's root.
struct Located<'a> {
    api: Option<&'a str>,
    root_segments: usize,
}

/// For an event without `api`: the API whose root is the longest prefix of the path; of equally
/// long ones the smaller id (`card.apis` is sorted).
fn locate<'a>(card: &'a RateCard, path: Option<&[&str]>) -> Located<'a> {
    let mut best: Option<(usize, &CardApi)> = None;
    for api in &card.apis {
        if let Some(root) = longest_root(api, path)
            && best.is_none_or(|(longest, _)| root > longest)
        {
            best = Some((root, api));
        }
    }
    match best {
        Some((root_segments, api)) => Located {
            api: Some(&api.id),
            root_segments,
        },
        None => Located {
            api: None,
            root_segments: 0,
        },
    }
}

/// Segments of the longest root of `api` that is a prefix of `path`.
fn longest_root(api: &CardApi, path: Option<&[&str]>) -> Option<usize> {
    let path = path?;
    let is_prefix =
        |root: &&Vec<Segment>| path.get(..root.len()).is_some_and(|head| equal(root, head));
    api.roots.iter().filter(is_prefix).map(Vec::len).max()
}

/// A path cut at its first `?` and split at `/`; empty segments are dropped, nothing is decoded.
fn segments(path: &str) -> Vec<&str> {
    let path = path.split('?').next().unwrap_or(path);
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .collect()
}

fn matches(
    rule: &ClassifyRule,
    api: Option<&str>,
    path: Option<&[&str]>,
    usage: &Usage<&str>,
) -> bool {
    let same = |wanted: &Option<Box<str>>, got: Option<&str>| match wanted {
        None => true,
        Some(wanted) => got.is_some_and(|got| wanted.eq_ignore_ascii_case(got)),
    };
    let format_listed = |formats: &Vec<Box<str>>| {
        usage.source_format.is_some_and(|got| {
            formats
                .iter()
                .any(|format| format.eq_ignore_ascii_case(got))
        })
    };
    same(&rule.api, api)
        && same(&rule.engine, usage.engine)
        && same(&rule.method, usage.method)
        && rule
            .path
            .as_ref()
            .is_none_or(|wanted| path.is_some_and(|path| equal(wanted, path)))
        && rule.source_format.as_ref().is_none_or(format_listed)
}

/// Same number of segments, each equal or a wildcard.
fn equal(wanted: &[Segment], got: &[&str]) -> bool {
    wanted.len() == got.len()
        && wanted.iter().zip(got).all(|(wanted, got)| match wanted {
            Segment::Literal(literal) => literal.as_ref() == *got,
            Segment::Any => true,
        })
}
