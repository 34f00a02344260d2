//! What the page says to teams in each situation: no call that is allowed is said to stop, and none that
//! is refused goes without the reason and what helps.

use serde_json::json;

use crate::served::{Served, call, enrol, event};

struct Case {
    team: &'static str,
    until: &'static str,
    events: Vec<String>,
    says: &'static [&'static str],
    never: &'static [&'static str],
}

fn in_hub(team: &str) -> Vec<String> {
    let at = "2026-01-02T00:00:00Z";
    vec![
        event(team, "hub", "hub-created", r#"{"hub_id":"h"}"#, at),
        event(team, "app", "app-migrated", r#"{"app_id":"app"}"#, at),
    ]
}

fn bought(team: &str, id: &str, tokens: u64, time: &str) -> String {
    let data = json!({ "tokens": tokens }).to_string();
    event(team, id, "tokens-purchased", &data, time)
}

fn with(head: Vec<String>, tail: impl IntoIterator<Item = String>) -> Vec<String> {
    head.into_iter().chain(tail).collect()
}

fn cases() -> Vec<Case> {
    let capped = |team: &str| {
        with(
            in_hub(team),
            [
                enrol(team, "free", "2026-01-02T00:00:00Z"),
                call(team, "big", "automation", 20_000, "2026-01-10T00:00:00Z"),
            ],
        )
    };
    let paid = |team: &str| {
        with(
            in_hub(team),
            [enrol(team, "prepay", "2026-01-02T00:00:00Z")],
        )
    };
    vec![
        Case {
            team: "capped",
            until: "2026-01-20T00:00:00Z",
            events: capped("capped"),
            says: &[
                "A monthly cap was reached",
                "Cap reached: stops until <time datetime=\"2026-02-01T00:00:00Z\">",
                "Stops with its API until",
                "20,000 of 18,000 seconds",
            ],
            never: &["Its calls are refused"],
        },
        Case {
            team: "the month after",
            until: "2026-02-02T00:00:00Z",
            events: capped("the month after"),
            says: &["Cap was reached", "Nothing was counted in this month"],
            never: &["stops until", "Stops with", "A monthly cap was reached"],
        },
        // B14, B38: whoever is stopped by a cap goes on in Paid.
        Case {
            team: "upgraded",
            until: "2026-01-20T00:00:00Z",
            events: with(
                capped("upgraded"),
                [
                    event(
                        "upgraded",
                        "upgrade",
                        "offering-enrolled",
                        r#"{"offering":"prepay"}"#,
                        "2026-01-11T00:00:00Z",
                    ),
                    bought("upgraded", "order", 100, "2026-01-12T00:00:00Z"),
                ],
            ),
            says: &["Access: <strong>Paid", "Cap was reached"],
            never: &[
                "stops until",
                "Stops with",
                "class=\"notice\"",
                "left whole",
            ],
        },
        Case {
            team: "owing",
            until: "2026-01-20T00:00:00Z",
            events: with(
                paid("owing"),
                [call(
                    "owing",
                    "c",
                    "automation",
                    200_000,
                    "2026-01-10T00:00:00Z",
                )],
            ),
            says: &[
                "there are no tokens left and postpay is not in use",
                "Buy more tokens than the ",
                " owed</p>",
                "were not covered when used. A purchase settles what is owed first",
            ],
            never: &["nothing of it is owed"],
        },
        Case {
            team: "settled",
            until: "2026-01-20T00:00:00Z",
            events: with(
                paid("settled"),
                [
                    call(
                        "settled",
                        "c",
                        "automation",
                        200_000,
                        "2026-01-10T00:00:00Z",
                    ),
                    bought("settled", "first", 10_000, "2026-01-12T00:00:00Z"),
                ],
            ),
            says: &["were not covered when used; nothing of it is owed any more"],
            never: &["class=\"notice\"", " owed</p>"],
        },
        Case {
            team: "in bad standing",
            until: "2026-01-20T00:00:00Z",
            events: with(
                in_hub("in bad standing"),
                [
                    event(
                        "in bad standing",
                        "postpay",
                        "offering-enrolled",
                        r#"{"offering":"postpay","country":"US","payment_method":"credit_card","good_standing":true}"#,
                        "2026-01-05T00:00:00Z",
                    ),
                    event(
                        "in bad standing",
                        "standing",
                        "standing-changed",
                        r#"{"good":false}"#,
                        "2026-01-06T00:00:00Z",
                    ),
                ],
            ),
            says: &[
                "there are no tokens left and postpay waits for good standing. Buy tokens to go on",
            ],
            never: &["postpay is not in use"],
        },
        // B8, B33, B34.
        Case {
            team: "not enrolled",
            until: "2026-01-20T00:00:00Z",
            events: vec![call(
                "not enrolled",
                "c",
                "automation",
                60,
                "2026-01-10T00:00:00Z",
            )],
            says: &["This team is not enrolled. Its calls are refused. Enrol it"],
            never: &["Nothing was used"],
        },
        Case {
            team: "not enrolled yet",
            until: "2026-01-12T00:00:00Z",
            events: vec![call(
                "not enrolled yet",
                "c",
                "automation",
                60,
                "2026-01-10T00:00:00Z",
            )],
            says: &[
                "This team is not enrolled. Enrol it",
                "by <time datetime=\"2026-01-17T00:00:00Z\">",
                "without it calls stop then",
            ],
            never: &["Its calls are refused"],
        },
        Case {
            team: "without a hub",
            until: "2026-01-20T00:00:00Z",
            events: vec![enrol("without a hub", "free", "2026-01-02T00:00:00Z")],
            says: &["This team has no developer hub. Its calls are refused. Create one"],
            never: &["not enrolled"],
        },
        Case {
            team: "without apps",
            until: "2026-01-20T00:00:00Z",
            events: with(
                in_hub("without apps")[..1].to_vec(),
                [enrol("without apps", "free", "2026-01-03T00:00:00Z")],
            ),
            says: &[
                "No app was migrated into the developer hub of this team. Its calls are refused.",
            ],
            never: &["no developer hub"],
        },
        Case {
            team: "before launch",
            until: "2025-11-20T00:00:00Z",
            events: vec![call(
                "before launch",
                "c",
                "automation",
                9_000,
                "2025-11-10T00:00:00Z",
            )],
            says: &[
                "Access: <strong>Credits",
                "there are no credits left",
                "Buy more credits than the ",
                "From credits",
            ],
            never: &[
                ">Tokens<",
                "no tokens",
                "From tokens",
                "not enrolled",
                "developer hub",
            ],
        },
    ]
}

#[test]
fn each_situation_is_told_with_what_helps() {
    for case in cases() {
        let served = Served::of_events_until(&case.events, case.until);
        let answer = served.get(&format!("/teams/{}", crate::served::encoded(case.team)));
        assert_eq!(answer.status, 200, "{}", case.team);
        let (_, page) = answer.body.split_once("<header>").unwrap();
        for words in case.says {
            assert!(page.contains(words), "{}: {words:?} in {page}", case.team);
        }
        for words in case.never {
            assert!(!page.contains(words), "{}: {words:?} in {page}", case.team);
        }
    }
}

/// One meter under two cards in a month, each with its own measure.
#[test]
fn lines_name_their_measure_and_a_card_where_it_matters() {
    let mut book: serde_json::Value = serde_json::from_str(crate::served::EXAMPLE_BOOK).unwrap();
    let cards = book["cards"].as_array_mut().unwrap();
    let mut next = cards.last().unwrap().clone();
    next["id"] = "aps-next".into();
    next["effective_from"] = "2026-01-15T00:00:00Z".into();
    cards.push(next);
    let events = with(
        in_hub("a"),
        [
            enrol("a", "prepay", "2026-01-02T00:00:00Z"),
            call("a", "c-1", "automation", 3_600, "2026-01-10T00:00:00Z"),
            call("a", "c-2", "automation", 7_200, "2026-01-16T00:00:00Z"),
            call("a", "c-3", "reality_capture", 5, "2026-01-17T00:00:00Z"),
        ],
    );
    let served = Served::of_events_under(&book.to_string(), &events, "2026-01-20T00:00:00Z");
    let page = served.get("/teams/a").body;
    for words in [
        ">automation.autocad (aps-2025-12)</th>",
        ">automation.autocad (aps-next)</th>",
        ">3,600 seconds</td>",
        ">7,200 seconds</td>",
    ] {
        assert!(page.contains(words), "{words:?} in {page}");
    }
    assert!(
        !page.contains(">reality_capture (") && !page.contains(">rc ("),
        "{page}"
    );
}
