//! One API call as a team makes it: the API, the paths, how much, and how it ended.
//!
//! APIs and paths are those of the example rate book; prices are not its matter. All rated meters
//! and APIs without a rate occur, and now and then what a wrong producer sends: an Automation
//! run without its engine, an app that was never migrated, a quantity of 0.

use super::name::Name;
use super::random::Random;
use super::team::{Focus, Team};
use crate::billing::event::{Status, Usage};

const MODELS: &str = "model_derivative";
const AUTOMATION: &str = "automation";
const GRAPHS: &str = "flow_graph_engine";
const PHOTOS: &str = "reality_capture";

const ENGINES: [&str; 8] = [
    "autocad", "autocad", "autocad", "revit", "revit", "inventor", "3dsmax", "fusion",
];
const COMPLEX_FORMATS: [&str; 4] = ["rvt", "rvt", "nwd", "ifc"];
const SIMPLE_FORMATS: [&str; 6] = ["dwg", "dwg", "ipt", "stp", "obj", "skp"];

const JOB_PATHS: [&str; 4] = [
    "/modelderivative/v2/designdata/job",
    "/modelderivative/v2/designdata/job",
    "/modelderivative/v2/designdata/job",
    "/modelderivative/v2/regions/eu/designdata/job",
];
const MODEL_PATHS: [&[&str; 2]; 4] = [
    &["/modelderivative/v2/designdata/", "/manifest"],
    &["/modelderivative/v2/designdata/", "/manifest"],
    &["/modelderivative/v2/designdata/", "/metadata"],
    &[
        "/modelderivative/v2/regions/eu/designdata/",
        "/thumbnail?width=200",
    ],
];
const UNRATED_PATHS: [&[&str; 2]; 5] = [
    &["/oss/v2/buckets/models/objects/", ""],
    &["/oss/v2/buckets/models/objects/", "/signeds3download"],
    &["/data/v1/projects/b.", "/items"],
    &["/project/v1/hubs/b.", "/projects"],
    &["/webhooks/v1/hooks/", ""],
];

/// An app that no team migrates.
const STRANGE_APP: u8 = 9;
/// Models, files and projects of a team that calls are about.
const ITEMS: u64 = 64;

#[derive(Clone, Copy)]
enum Call {
    ModelQuery,
    ModelJob,
    AutomationRun,
    GraphRun,
    PhotoJob,
    Unrated,
}

pub fn draw(team: Team, random: &mut Random) -> Usage<Name> {
    let app = if random.one_in(250) {
        STRANGE_APP
    } else {
        1 + random.below(u64::from(team.apps())) as u8
    };
    let item = u64::from(team.number) * ITEMS + random.below(ITEMS);
    let mut usage = Usage {
        app_id: team.app(app),
        api: None,
        method: None,
        path: None,
        engine: None,
        source_format: None,
        quantity: 1,
        status: Status::Success,
        http_status: None,
    };
    match draw_call(team.focus(), random) {
        Call::ModelQuery => query_model(item, &mut usage, random),
        Call::ModelJob => translate_model(&mut usage, random),
        Call::AutomationRun => run_automation(&mut usage, random),
        Call::GraphRun => run_graph(&mut usage, random),
        Call::PhotoJob => process_photos(&mut usage, random),
        Call::Unrated => call_unrated(item, &mut usage, random),
    }
    if random.one_in(1_000) {
        usage.quantity = 0;
    }
    usage
}

/// About what the call costs in thousandths of a token, to tell when a team will run low.
pub fn estimated_millitokens(usage: &Usage<Name>) -> i64 {
    if usage.status != Status::Success {
        return 0;
    }
    let per_unit = match (usage.api, usage.engine, usage.source_format) {
        (_, Some(_), _) => 1_000 * usage.quantity / 720,
        (_, _, Some(Name::Fixed(format))) if COMPLEX_FORMATS.contains(&format) => {
            1_500 * usage.quantity
        }
        (_, _, Some(_)) => 300 * usage.quantity,
        (Some(Name::Fixed(GRAPHS)), ..) => 1_000 * usage.quantity / 3_600,
        (Some(Name::Fixed(PHOTOS)), ..) => 20 * usage.quantity,
        _ => 0,
    };
    per_unit.max(0)
}

/// Shares are of 100; each line adds up to it.
fn draw_call(focus: Focus, random: &mut Random) -> Call {
    const CALLS: [Call; 6] = [
        Call::ModelQuery,
        Call::ModelJob,
        Call::AutomationRun,
        Call::GraphRun,
        Call::PhotoJob,
        Call::Unrated,
    ];
    let shares: [u64; 6] = match focus {
        Focus::Viewing => [58, 16, 4, 1, 1, 20],
        Focus::Automation => [18, 6, 58, 3, 1, 14],
        Focus::Photos => [14, 4, 2, 2, 64, 14],
        Focus::Graphs => [14, 4, 12, 54, 2, 14],
    };
    let mut drawn = random.below(100);
    for (call, share) in CALLS.into_iter().zip(shares) {
        if drawn < share {
            return call;
        }
        drawn -= share;
    }
    Call::Unrated
}

fn query_model(item: u64, usage: &mut Usage<Name>, random: &mut Random) {
    usage.method = Some(Name::Fixed("GET"));
    if random.one_in(3) {
        usage.path = Some(Name::Path(random.pick(&MODEL_PATHS), item));
    } else {
        usage.api = Some(Name::Fixed(MODELS));
    }
    answer(usage, random);
}

fn translate_model(usage: &mut Usage<Name>, random: &mut Random) {
    let format = if random.one_in(2) {
        random.pick(&COMPLEX_FORMATS)
    } else {
        random.pick(&SIMPLE_FORMATS)
    };
    usage.method = Some(Name::Fixed("POST"));
    usage.source_format = Some(Name::Fixed(format));
    if random.one_in(4) {
        usage.api = Some(Name::Fixed(MODELS));
        usage.path = Some(Name::Fixed("/job"));
    } else {
        usage.path = Some(Name::Fixed(random.pick(&JOB_PATHS)));
    }
    if random.one_in(10) {
        usage.quantity = random.between(2, 6);
    }
    usage.status = draw_status(random);
}

fn run_automation(usage: &mut Usage<Name>, random: &mut Random) {
    if random.one_in(8) {
        usage.method = Some(Name::Fixed("POST"));
        usage.path = Some(Name::Fixed("/da/us-east/v3/workitems"));
    } else {
        usage.api = Some(Name::Fixed(AUTOMATION));
    }
    if !random.one_in(500) {
        usage.engine = Some(Name::Fixed(random.pick(&ENGINES)));
    }
    usage.quantity = draw_seconds(random);
    usage.status = draw_status(random);
}

fn run_graph(usage: &mut Usage<Name>, random: &mut Random) {
    usage.api = Some(Name::Fixed(GRAPHS));
    if random.one_in(4) {
        usage.method = Some(Name::Fixed("GET"));
        answer(usage, random);
    } else {
        usage.method = Some(Name::Fixed("POST"));
        usage.quantity = draw_seconds(random);
        usage.status = draw_status(random);
    }
}

fn process_photos(usage: &mut Usage<Name>, random: &mut Random) {
    usage.api = Some(Name::Fixed(PHOTOS));
    if random.one_in(4) {
        usage.method = Some(Name::Fixed("GET"));
        answer(usage, random);
    } else {
        usage.method = Some(Name::Fixed("POST"));
        usage.quantity = random.between(20, 120);
        usage.status = draw_status(random);
    }
}

fn call_unrated(item: u64, usage: &mut Usage<Name>, random: &mut Random) {
    usage.method = Some(Name::Fixed("GET"));
    if random.one_in(4) {
        usage.path = Some(Name::Fixed("/authentication/v2/token"));
        usage.method = Some(Name::Fixed("POST"));
    } else {
        usage.path = Some(Name::Path(random.pick(&UNRATED_PATHS), item));
    }
    answer(usage, random);
}

/// A call that is over at once: what counts is the HTTP status.
fn answer(usage: &mut Usage<Name>, random: &mut Random) {
    let http_status = match random.below(100) {
        0..90 => 200,
        90..93 => 202,
        93..95 => 401,
        95..97 => 404,
        97 => 429,
        98 => 500,
        _ => 503,
    };
    usage.http_status = Some(http_status);
    if http_status >= 400 {
        usage.status = Status::Failed;
    }
}

fn draw_status(random: &mut Random) -> Status {
    match random.below(100) {
        0..93 => Status::Success,
        93..97 => Status::Failed,
        97 => Status::CancelledBeforeStart,
        _ => Status::CancelledAfterStart,
    }
}

/// Most runs take minutes, some take hours.
fn draw_seconds(random: &mut Random) -> i64 {
    if random.one_in(8) {
        random.between(900, 9_000)
    } else {
        random.between(8, 600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn all_kinds_of_usage_occur() {
        let mut random = Random::new(1);
        let mut seen = BTreeSet::new();
        let mut note = |what: &str, name: Option<Name>| {
            if let Some(Name::Fixed(text)) = name {
                seen.insert(format!("{what} {text}"));
            }
        };
        let mut statuses = BTreeSet::new();
        let mut quantities = BTreeSet::new();
        for number in 0..50_000 {
            let usage = draw(Team::of(1, number), &mut random);
            note("api", usage.api);
            note("engine", usage.engine);
            note("format", usage.source_format);
            note("method", usage.method);
            statuses.insert(usage.status);
            quantities.insert(usage.quantity);
            assert!(estimated_millitokens(&usage) >= 0);
        }
        for expected in [AUTOMATION, MODELS, GRAPHS, PHOTOS] {
            assert!(seen.contains(&format!("api {expected}")), "{expected}");
        }
        for expected in ENGINES {
            assert!(seen.contains(&format!("engine {expected}")), "{expected}");
        }
        for expected in COMPLEX_FORMATS.iter().chain(&SIMPLE_FORMATS) {
            assert!(seen.contains(&format!("format {expected}")), "{expected}");
        }
        assert_eq!(statuses.len(), Status::ALL.len());
        assert_eq!(quantities.first(), Some(&0));
        assert!(quantities.last() > Some(&3_600));
    }
}
