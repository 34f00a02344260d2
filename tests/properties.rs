//! The invariants of `fold.md` 10 as properties of small adversarial worlds.
//!
//! Each test makes 10,000 worlds, the same in each run, so that no change fails for a fault that
//! was there before it; with `PROPTEST_CASES` as many, new ones each time. Every world of every test
//! is folded through the library and by the reference model, and all output bytes must be equal;
//! beyond that each test checks its own invariant on each of its worlds. 10.2 by lot and 10.3 by
//! era need what the library does not keep, so the model sums them up, after every line; since
//! balance, debt, lots and charges are equal byte by byte, they hold for both.

mod model;
mod support;

#[path = "properties/books.rs"]
mod books;
#[path = "properties/checks.rs"]
mod checks;
#[path = "properties/explained.rs"]
mod explained;
#[path = "properties/library.rs"]
mod library;
#[path = "properties/world.rs"]
#[allow(dead_code, reason = "shared with the crash tests")]
mod world;

use std::sync::Arc;

use checks::Read;
use library::{Folded, Layout, Stop};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed, TestRunner};
use support::program::Outputs;
use world::{World, recipes};

#[test]
fn inv_10_1_charges_are_split_and_nothing_is_negative() {
    for_all(recipes(), |recipe| {
        let world = World::make(&recipe);
        let folded = folded_like_the_model_whose_sums_hold(&world);
        checks::charges_are_split(&world, &Read::of(&folded.outputs));
    });
}

#[test]
fn inv_10_2_lots_are_conserved() {
    for_all(recipes(), |recipe| {
        let folded = folded_like_the_model_whose_sums_hold(&World::make(&recipe));
        checks::lots_are_the_balance(&Read::of(&folded.outputs));
    });
}

#[test]
fn inv_10_3_charges_follow_the_cumulatives() {
    for_all(recipes(), |recipe| {
        let world = World::make(&recipe);
        let folded = folded_like_the_model_whose_sums_hold(&world);
        checks::charges_follow_the_cumulatives(&world, &Read::of(&folded.outputs), &folded);
    });
}

#[test]
fn inv_10_4_unrated_usage_costs_nothing() {
    for_all(recipes(), |recipe| {
        let folded = folded_like_the_model(&World::make(&recipe));
        checks::unrated_usage_costs_nothing(&Read::of(&folded.outputs));
    });
}

#[test]
fn inv_10_5_derived_events_happen_once() {
    for_all(recipes(), |recipe| {
        let folded = folded_like_the_model(&World::make(&recipe));
        checks::derived_events_happen_once(&Read::of(&folded.outputs));
    });
}

#[test]
fn inv_10_6_every_event_has_one_disposition() {
    for_all(recipes(), |recipe| {
        let world = World::make(&recipe);
        let folded = folded_like_the_model(&world);
        checks::every_event_has_one_disposition(&world, &Read::of(&folded.outputs), &folded);
    });
}

#[test]
fn inv_10_7_no_batch_commit_partition_thread_or_restart_shows() {
    for_all((recipes(), layouts()), |(recipe, (layout, stop))| {
        let world = World::make(&recipe);
        let plain = folded_like_the_model(&world);
        let other = library::fold(&world.book.rates, &world.log(), world.until, &layout, stop);
        plain.outputs.assert_equal("10.7", &other.outputs);
        assert_eq!(plain.state_digest, other.state_digest, "10.7: state digest");
    });
}

#[test]
fn inv_10_8_teams_are_independent() {
    for_all(recipes(), |recipe| {
        let world = World::make(&recipe);
        let together = folded_like_the_model(&world);
        for (index, team) in world.teams.iter().enumerate() {
            let log = world.log_of(index);
            let alone = library::fold(&world.book.rates, &log, world.until, &Layout::PLAIN, None);
            support::assert_same_lines(
                &format!("10.8: {team}"),
                checks::of_team(&together.outputs, team)
                    .join(
                        "
",
                    )
                    .as_bytes(),
                checks::of_team(&alone.outputs, team)
                    .join(
                        "
",
                    )
                    .as_bytes(),
            );
        }
    });
}

#[test]
fn explanations_add_up_to_months_and_invoices() {
    for_all(recipes(), |recipe| {
        let world = World::make(&recipe);
        let folded = folded_like_the_model(&world);
        explained::explanations_add_up(&world, &Read::of(&folded.outputs));
    });
}

/// The worlds come far enough: none of the rules that they aim at is out of their reach.
#[test]
fn worlds_reach_every_disposition_and_derived_event() {
    let mut seen = std::collections::BTreeMap::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..3_000 {
        let recipe = recipes().new_tree(&mut runner).expect("a recipe").current();
        let folded = folded_like_the_model(&World::make(&recipe));
        let read = Read::of(&folded.outputs);
        let mut count = |what: String| *seen.entry(what).or_insert(0) += 1;
        for line in &read.trace {
            count(format!("{} {}", line["disposition"], line["reason"]));
            for member in ["booked_to", "while_suspended"] {
                let late = member == "booked_to"
                    && !line[member].is_null()
                    && line[member] != line["month"];
                let suspended = member == "while_suspended" && line[member] == true;
                if late || suspended {
                    count(member.to_string());
                }
            }
        }
        for event in &read.derived {
            let has_rows = ["lines", "adjustments"].map(|rows| {
                event["data"][rows]
                    .as_array()
                    .is_some_and(|rows| !rows.is_empty())
            });
            count(format!(
                "{} {} {has_rows:?}",
                event["type"], event["data"]["reason"]
            ));
        }
    }
    let missing: Vec<&&str> = REACHED
        .iter()
        .filter(|what| !seen.keys().any(|key| key.contains(**what)))
        .collect();
    assert!(missing.is_empty(), "never reached: {missing:?}\n{seen:#?}");
}

/// Parts of what [`worlds_reach_every_disposition_and_derived_event`] counts.
const REACHED: [&str; 60] = [
    "zero",
    "grace",
    "denied",
    "unrated",
    "unbillable",
    "late_free",
    "over_cap",
    "\"free\"",
    "charged",
    "corrected",
    "duplicate",
    "conflict",
    "accepted",
    "time_in_future",
    "too_old",
    "no_rate_card",
    "malformed",
    "unknown_type",
    "negative_quantity",
    "quantity_too_large",
    "already_enrolled",
    "country_not_eligible",
    "not_in_good_standing",
    "currency_not_priced",
    "currency_change",
    "postpay_not_on",
    "not_paid",
    "already_pending",
    "hub_exists",
    "no_hub",
    "other_hub",
    "below_minimum",
    "zero_delta",
    "not_adjustable",
    "insufficient",
    "trial_ended",
    "trial_used",
    "bad_period",
    "transfer_not_allowed",
    "unknown_channel",
    "channel_not_available",
    "not_applicable_to_account",
    "pack_not_sold",
    "credits_ended",
    "amount_mismatch",
    "booked_to",
    "while_suspended",
    "cap-reached",
    "depleted.v1\" \"consumed",
    "depleted.v1\" \"expired",
    "depleted.v1\" \"adjusted",
    "postpay.v1\" \"depleted",
    "postpay.v1\" \"standing_restored",
    "postpay.v1\" \"enrolled",
    "invoice.v1\" null [false, false]",
    "invoice.v1\" null [true, false]",
    "invoice.v1\" null [false, true]",
    "invoice.v1\" null [true, true]",
    "refused",
    "dead_letter",
];

fn for_all<S: Strategy>(strategy: S, check: impl Fn(S::Value)) {
    let (cases, rng_seed) = match std::env::var("PROPTEST_CASES") {
        Ok(cases) => (
            cases.parse().expect("PROPTEST_CASES is a number"),
            RngSeed::Random,
        ),
        Err(_) => (10_000, RngSeed::Fixed(1)),
    };
    let config = Config {
        cases,
        rng_seed,
        max_shrink_iters: 20_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/properties/regressions.txt",
        ))),
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    runner
        .run(&strategy, |value| {
            check(value);
            Ok(())
        })
        .unwrap_or_else(|fault| panic!("{fault}"));
}

/// The library's run in its plainest layout, which must equal the model's byte for byte.
fn folded_like_the_model(world: &World) -> Folded {
    compared_with_the_model(world, |_| {})
}

/// The same; besides, the model's own sums must hold after every line and in the end.
fn folded_like_the_model_whose_sums_hold(world: &World) -> Folded {
    compared_with_the_model(world, |model| {
        model
            .check_invariants()
            .unwrap_or_else(|fault| panic!("after {} lines: {fault}", model.consumed));
    })
}

fn compared_with_the_model(world: &World, check: impl Fn(&model::World)) -> Folded {
    let mut model = model::World::of_book(Arc::clone(&world.book.model), true);
    for (number, line) in (1..).zip(&world.lines) {
        let record = line.text.trim_end().as_bytes();
        model.feed(0, number, record).expect("no clock jump");
        check(&model);
    }
    if let Some(until) = world.until {
        model.tick(until);
        check(&model);
    }
    let expected = model.outputs();
    let expected = Outputs {
        trace: expected.trace,
        dead_letters: expected.dead_letters,
        derived: expected.derived,
        accounts: expected.accounts,
    };
    let (rates, log) = (&world.book.rates, world.log());
    let folded = library::fold(rates, &log, world.until, &Layout::PLAIN, None);
    expected.assert_equal("the model's", &folded.outputs);
    folded
}

/// A layout, and where its run is stopped and started again. Threads cost more than small worlds,
/// so most layouts have one.
fn layouts() -> impl Strategy<Value = (Layout, Option<Stop>)> {
    let few_or_all = || prop_oneof![Just(usize::MAX), 1_usize..10];
    let bytes = || prop_oneof![Just(usize::MAX), Just(0), 500_usize..20_000];
    let layout = (
        1_u16..=16,
        prop_oneof![14 => Just(1_usize), 1 => Just(2_usize), 1 => Just(3_usize)],
        proptest::collection::vec(1_usize..12, 0..5),
        few_or_all(),
        (bytes(), bytes()),
        any::<bool>(),
    );
    let stop = prop_oneof![
        Just(None),
        (0_usize..40).prop_map(|records| Some(Stop::Ended(records))),
        (1_usize..12).prop_map(|batches| Some(Stop::Interrupted(batches))),
    ];
    (layout, stop).prop_map(
        |((partitions, threads, batches, ids_max, bytes, is_private), stop)| {
            let is_interrupted = matches!(stop, Some(Stop::Interrupted(_)));
            let layout = Layout {
                partitions,
                threads,
                batches,
                ids_max,
                decoded_bytes_max: bytes.0,
                encoded_bytes_max: bytes.1,
                is_private: is_private && !is_interrupted,
            };
            (layout, stop)
        },
    )
}
