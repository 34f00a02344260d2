//! The pure fold: api-call events of many teams, on one core, no I/O, no decoding.
//!
//! `cargo bench --bench fold`. Target: 3 million events a second over 100,000 teams. *Even*: every
//! team is as busy as any other, the worst case for a processor's cache. *Skewed*: three calls in
//! four fall to few teams (the rank is the exponential of an even number), as in real traffic.

use std::hint::black_box;
use std::time::Instant as WallInstant;

use meterfold::billing::account::TeamAccount;
use meterfold::billing::context::Context;
use meterfold::billing::event::{Body, Event, Offering, Status, Usage};
use meterfold::billing::fold::{admit, fold};
use meterfold::billing::rate_book::RateBook;
use meterfold::billing::time::{Instant, MILLIS_PER_DAY};
use meterfold::processor::teams::touch;
use meterfold::wire::rate_book;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: u64 = 5_000_000;
const BATCH: u64 = 200;
const ROUNDS: usize = 3;

fn main() {
    let text = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/schemas/rates/aps-example.json"
    ));
    let book =
        rate_book::read(&text.expect("the example book")).expect("the example book is valid");
    println!(
        "{:<10}{:<10}{:>14}{:>12}",
        "teams", "traffic", "events/s", "ns/event"
    );
    for teams in [1_000, 100_000, 1_000_000] {
        for (traffic, is_skewed) in [("skewed", true), ("even", false)] {
            let best = (0..ROUNDS)
                .map(|_| nanos_per_event(&book, teams, is_skewed))
                .min()
                .expect("rounds");
            println!(
                "{teams:<10}{traffic:<10}{:>14}{best:>12}",
                1_000_000_000 / best
            );
        }
    }
}

/// Enrols the teams, then times the folding of calls spread over them.
fn nanos_per_event(book: &RateBook, teams: u64, is_skewed: bool) -> u64 {
    let start = Instant::parse("2026-01-05T00:00:00Z").expect("an instant");
    let mut accounts: Vec<TeamAccount> =
        (0..teams).map(|team| enrolled(book, team, start)).collect();
    let mut context = Context::new(book, start);
    let mut derived = Vec::new();
    let mut random = 1_u64;
    let mut next_team = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let even = random >> 20;
        // Keeping only some low bits, as many as chance will have it, favours small numbers.
        let kept = (random >> 10) % (u64::from(teams.ilog2()) + 1);
        let team = if is_skewed && random >> 62 != 0 {
            even & ((2 << kept) - 1)
        } else {
            even
        };
        (usize::try_from(team % teams).expect("small"), random >> 60)
    };
    let begun = WallInstant::now();
    for batch in 0..EVENTS / BATCH {
        // As the processor does: the accounts of a batch are looked at before any is folded.
        let picks: [(usize, u64); BATCH as usize] = std::array::from_fn(|_| next_team());
        black_box(
            picks
                .iter()
                .map(|(team, _)| touch(&accounts[*team]))
                .sum::<usize>(),
        );
        for (number, (team, kind)) in (batch * BATCH..).zip(picks) {
            let time =
                start.plus_millis(MILLIS_PER_DAY / 2 + i64::try_from(number / 4).expect("small"));
            context = context.at(time);
            let event = call(kind, time);
            admit(&context, &event, time).expect("admitted");
            let folded = fold(&context, &mut accounts[team], &event, &mut derived);
            black_box(folded.expect("no invariant breaks"));
            derived.clear();
        }
    }
    let elapsed = begun.elapsed();
    black_box(&accounts);
    u64::try_from(elapsed.as_nanos()).expect("short") / EVENTS
}

/// One of four kinds of call: a run, a job, a basic call, an unrated one.
fn call(kind: u64, time: Instant) -> Event<&'static str> {
    let usage = Usage {
        app_id: "app-1",
        api: Some("model_derivative"),
        method: Some("GET"),
        path: Some("/modelderivative/v2/designdata/dXJuOmFkc2sub2JqZWN0/manifest"),
        engine: None,
        source_format: None,
        quantity: 1,
        status: Status::Success,
        http_status: Some(200),
    };
    let usage = match kind % 4 {
        0 => Usage {
            api: Some("automation"),
            method: Some("POST"),
            path: Some("/da/us-east/v3/workitems"),
            engine: Some("autocad"),
            quantity: 217,
            ..usage
        },
        1 => Usage {
            method: Some("POST"),
            path: Some("/modelderivative/v2/designdata/job"),
            source_format: Some("rvt"),
            ..usage
        },
        2 => Usage {
            api: Some("data_management"),
            path: Some("/data/v1/projects/b.1/folders"),
            ..usage
        },
        _ => usage,
    };
    Event {
        source: "/gateway/eu-1",
        id: "c-1",
        team: "team",
        time,
        body: Body::ApiCall(usage),
    }
}

/// Three of five Free, one with tokens, one on postpay.
fn enrolled(book: &RateBook, team: u64, at: Instant) -> TeamAccount {
    let context = Context::new(book, at);
    let mut account = TeamAccount::new(book, at);
    let offering = match team % 5 {
        3 => Offering::Prepay,
        4 => Offering::Postpay {
            country: "US",
            payment_method: "credit_card",
            good_standing: true,
            currency: None,
        },
        _ => Offering::Free,
    };
    let mut bodies = vec![
        Body::OfferingEnrolled(offering),
        Body::HubCreated { hub_id: "hub-1" },
        Body::AppMigrated {
            app_id: "app-1",
            hub_id: None,
        },
    ];
    if team % 5 == 3 {
        bodies.push(Body::TokensPurchased {
            tokens: 1_000_000,
            amount: None,
            currency: None,
            expires_at: None,
        });
    }
    for body in bodies {
        let event = Event {
            source: "/accounts",
            id: "a-1",
            team: "team",
            time: at,
            body,
        };
        fold(&context, &mut account, &event, &mut Vec::new()).expect("no invariant breaks");
    }
    account
}
