//! What is too much for one answer: how it goes on, or that it is refused.

use serde_json::Value;

use crate::client::check_problem;
use crate::served::{Served, call, event};

fn hub() -> String {
    let data = r#"{"hub_id":"hub"}"#;
    event("a", "hub", "hub-created", data, "2026-01-02T00:00:00Z")
}

#[test]
fn lists_go_on_beyond_a_page() {
    let postpay = r#"{"offering":"postpay","country":"US","payment_method":"credit_card","good_standing":true}"#;
    let begin = "2026-01-02T00:00:00Z";
    let app = r#"{"app_id":"app"}"#;
    let mut events = vec![
        hub(),
        event("a", "app", "app-migrated", app, begin),
        event("a", "enrol", "offering-enrolled", postpay, begin),
    ];
    let months: Vec<String> = (2026..=2028)
        .flat_map(|year| (1..=12).map(move |month| format!("{year}-{month:02}")))
        .collect();
    for month in &months {
        let time = format!("{month}-10T00:00:00Z");
        events.push(call("a", month, "automation", 7_200, &time));
    }
    let served = Served::of_events_until(&events, "2029-01-20T00:00:00Z");
    for list in ["months", "invoices"] {
        let page = |query: &str| {
            let page = served.get(&format!("/v1/teams/a/{list}{query}")).json();
            let entries = page[list].as_array().unwrap().iter();
            let entries = entries.map(|entry| entry["month"].as_str().unwrap().to_owned());
            (entries.collect::<Vec<_>>(), page["next"].clone())
        };
        assert_eq!(page(""), (months[..12].to_vec(), "2026-12".into()));
        assert_eq!(page("?limit=24"), (months[..24].to_vec(), "2027-12".into()));
        let rest = page("?limit=24&after=2027-12");
        assert_eq!(rest, (months[24..].to_vec(), Value::Null));
        assert_eq!(page("?after=2028-12"), (Vec::new(), Value::Null));
        let refused = served.get(&format!("/v1/teams/a/{list}?limit=25"));
        check_problem(&refused, 400, "Bad Request");
    }
    let past = |query: &str| {
        let page = served.get(&format!("/teams/a{query}"));
        assert_eq!(page.status, 200, "{}", page.whole);
        let count = page.body.matches("<details><summary>").count();
        let links = page.body.split("href=\"?").skip(1);
        let link = links.filter_map(|rest| rest.split('"').next()).next();
        (count, link.map(str::to_owned))
    };
    assert_eq!(past(""), (24, Some("before=2027-01".into())));
    assert_eq!(past("?before=2027-01"), (12, None));
}

/// An account of apps whose ids are nearly as long as a record may be.
#[test]
fn an_answer_beyond_the_limit_is_refused() {
    let app = |letter: char| {
        let app = letter.to_string().repeat(1_000_000);
        let data = format!(r#"{{"app_id":"{app}"}}"#);
        let id = letter.to_string();
        event("a", &id, "app-migrated", &data, "2026-01-05T00:00:00Z")
    };
    let events: Vec<String> = [hub()].into_iter().chain(('a'..='q').map(app)).collect();
    let served = Served::of_events(&events);
    let refused = served.get("/v1/teams/a");
    check_problem(&refused, 422, "Unprocessable Entity");
    assert!(refused.body.contains("in pages"), "{}", refused.body);
    // What the problem leads to is there, and so is the decision on a call.
    assert_eq!(served.get("/v1/teams/a/months").status, 200);
    assert_eq!(served.get("/teams/a").status, 200);
    let access = served.get("/v1/teams/a/access?app=a&api=b");
    assert_eq!(access.status, 200);

    let served = Served::of_events(&events[..17]);
    let answer = served.get("/v1/teams/a");
    assert_eq!(answer.status, 200, "16 MB is less than 16 MiB");
    assert!(answer.body.len() > 16_000_000);
}
