//! The usage page in a real browser: what it says, in light and dark, on a phone, without script.

#[path = "http_browser/browser.rs"]
mod browser;
#[path = "http/client.rs"]
mod client;
#[path = "http/teams.rs"]
mod served;
mod support;
#[path = "http_browser/words.rs"]
mod words;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use browser::Browser;
use meterfold::wire::shown_text::printable;
use serde_json::{Value, json};
use served::{Served, call, encoded, enrol, event};
use support::sample::Sample;

const PHONE: (u32, u32) = (360, 740);
const DESK: (u32, u32) = (1280, 900);

/// Teams of a sample, by what their page shows.
#[test]
fn every_team_is_shown_as_the_api_tells_it() {
    let browser = Browser::start(true);
    for sample in Sample::all() {
        let served = Served::of(sample.replay.clone());
        for line in std::str::from_utf8(&sample.expected.accounts)
            .unwrap()
            .lines()
        {
            let account: Value = serde_json::from_str(line).unwrap();
            let team = account["team"].as_str().unwrap();
            open(&browser, &served, team);
            check_page(&browser, team);
            check_content(&browser, &served, &account);
        }
    }
    assert_eq!(browser.console(), Vec::<String>::new());
}

/// The page of a Free team near its caps and of a Paid one with lots, debt and invoices: pictures of
/// both are kept for a person to look at.
#[test]
fn light_dark_and_phone() {
    let served = Served::of_events_until(&showcase(), "2026-03-10T09:30:00Z");
    let browser = Browser::start(true);
    for team in ["Atelier Nord", "harbour-works"] {
        let mut backgrounds = Vec::new();
        for scheme in ["light", "dark"] {
            for (width, height) in [PHONE, DESK] {
                browser.resize(width, height);
                browser.prefer(scheme);
                open(&browser, &served, team);
                check_page(&browser, team);
                check_contrast(&browser);
                let background = "return getComputedStyle(document.body).backgroundColor";
                backgrounds.push(browser.run(background));
                browser.run("document.querySelectorAll('details').forEach(it => it.open = true)");
                check_width(&browser);
                check_contrast(&browser);
                let name = format!("{}-{scheme}-{width}.png", team.replace(' ', "-"));
                keep_picture(&name, &browser.picture());
            }
        }
        assert_eq!(backgrounds[0], backgrounds[1]);
        assert_ne!(backgrounds[0], backgrounds[2], "dark is not light");
    }
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn nothing_needs_a_script() {
    let served = Served::of_events_until(&showcase(), "2026-03-10T09:30:00Z");
    let browser = Browser::start(false);
    // That scripts are off indeed.
    browser.open("data:text/html,<p id=p>off</p><script>p.textContent='on'</script>");
    assert_eq!(browser.run("return document.body.innerText"), "off");
    open(&browser, &served, "harbour-works");
    check_page(&browser, "harbour-works");
    let text = browser.run("return document.body.innerText");
    let text = text.as_str().unwrap();
    for words in ["March 2026", "Tokens", "Past months", "USD"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // A past month opens by itself.
    let opened = browser.run(
        "const it = document.querySelector('#past ~ details'); it.querySelector('summary').click(); return it.open",
    );
    assert_eq!(opened, true);
}

/// Names that would be obeyed if they were not escaped.
#[test]
fn hostile_names_are_shown_and_do_nothing() {
    let hostile = [
        "<script>document.title='owned'</script>",
        "<img src=x onerror=document.title='owned'>",
        "\"'><svg onload=alert(1)>",
        "</title></style><h1>x</h1>",
        "{{7*7}}${7*7}",
        "שלום עולם",
        "a/b/../c",
        "&lt;b&gt;",
        &"W".repeat(128),
    ];
    let mut events = Vec::new();
    for team in hostile {
        events.push(enrol(team, "prepay", "2026-01-05T00:00:00Z"));
        let hub = json!({"hub_id": team}).to_string();
        events.push(event(
            team,
            "hub",
            "hub-created",
            &hub,
            "2026-01-05T00:00:00Z",
        ));
        let bought = r#"{"tokens":100}"#;
        let time = "2026-01-06T00:00:00Z";
        events.push(event(team, team, "tokens-purchased", bought, time));
    }
    let served = Served::of_events(&events);
    let browser = Browser::start(true);
    for (width, height) in [PHONE, DESK] {
        browser.resize(width, height);
        for team in hostile {
            open(&browser, &served, team);
            check_page(&browser, team);
            let lot = browser
                .run("return document.querySelector('#tokens ~ .wide tbody th').textContent");
            assert_eq!(lot, team);
        }
    }
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn an_error_is_a_page_too() {
    let served = Served::of_events(&[enrol("a", "free", "2026-01-05T00:00:00Z")]);
    let browser = Browser::start(true);
    open(&browser, &served, "nobody");
    assert_eq!(
        browser.run("return document.querySelector('h1').textContent"),
        "Not Found"
    );
    check_width(&browser);
    // The browser says that the answer was 404, and nothing else.
    let console = browser.console();
    assert!(
        console.iter().all(|entry| entry.contains("404")),
        "{console:?}"
    );
    served.hide_all();
    open(&browser, &served, "a");
    assert_eq!(
        browser.run("return document.querySelector('h1').textContent"),
        "Service Unavailable"
    );
}

fn open(browser: &Browser, served: &Served, team: &str) {
    browser.open(&format!(
        "http://{}/teams/{}",
        served.address(),
        encoded(team)
    ));
}

/// What holds of every page.
#[track_caller]
fn check_page(browser: &Browser, team: &str) {
    let found = browser.run(
        "const all = (it) => [...document.querySelectorAll(it)];
         return {
            heading: all('h1').map(it => it.textContent),
            title: document.title,
            landmarks: ['header', 'main', 'footer'].map(it => all(it).length),
            language: document.documentElement.lang,
            scripts: all('script, iframe, object, embed, img, form, input').length,
            fetched: performance.getEntriesByType('resource').length,
            styled: getComputedStyle(document.body).marginTop,
            tables: all('table').every(it => it.caption && [...it.querySelectorAll('th')].every(th => th.scope)),
            sections: all('section').every(it => document.getElementById(it.getAttribute('aria-labelledby'))),
            bars: all('progress').every(it => it.textContent && it.getAttribute('aria-label')),
         }",
    );
    let team = printable(team);
    let expected = json!({
        "heading": [team],
        "title": format!("API usage of {team}").split_whitespace().collect::<Vec<_>>().join(" "),
        "landmarks": [1, 1, 1],
        "language": "en",
        "scripts": 0,
        "fetched": 0,
        "styled": "0px",
        "tables": true,
        "sections": true,
        "bars": true,
    });
    assert_eq!(found, expected);
    check_width(browser);
}

#[track_caller]
fn check_width(browser: &Browser) {
    let width = browser.run("return [document.documentElement.scrollWidth, innerWidth]");
    let number = |index: usize| width[index].as_u64().unwrap();
    assert!(
        number(0) <= number(1),
        "the page is wider than the screen: {width}"
    );
}

/// Every text against what it stands on: at least 4.5 to 1 (WCAG AA).
#[track_caller]
fn check_contrast(browser: &Browser) {
    let poor = browser.run(
        "const part = (value) => { const c = value / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
         const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
         const color = (text) => text.match(/[\\d.]+/g).map(Number);
         const under = (it) => { for (; it; it = it.parentElement) { const c = color(getComputedStyle(it).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
         const poor = [];
         const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
         while (walk.nextNode()) {
            const it = walk.currentNode.parentElement;
            if (!walk.currentNode.textContent.trim() || it.tagName == 'PROGRESS') continue;
            const [a, b] = [light(color(getComputedStyle(it).color)), light(under(it))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) poor.push([walk.currentNode.textContent, ratio]);
         }
         return poor",
    );
    assert_eq!(poor, json!([]));
}

/// What the API tells stands on the page.
#[track_caller]
fn check_content(browser: &Browser, served: &Served, account: &Value) {
    let text = browser.run(
        "document.querySelectorAll('details').forEach(it => it.open = true); return document.body.innerText",
    );
    let text = text
        .as_str()
        .unwrap()
        .replace(',', "")
        .replace('\u{2212}', "-");
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let says = |words: &str| assert!(text.contains(words), "{words:?} in {text}");
    let access = match word(&account["tier"]).as_str() {
        "legacy" => "Access: Credits",
        "unenrolled" => "Access: Not enrolled",
        "free" => "Access: Free",
        _ => "Access: Paid",
    };
    says(access);
    says(&format!("{} available", word(&account["balance"])));
    if account["debt"] != "0" {
        says(&format!("{} owed", word(&account["debt"])));
    }
    for lot in account["lots"].as_array().unwrap() {
        let line = text
            .lines()
            .find(|line| line.starts_with(&word(&lot["id"]).replace(',', "")))
            .unwrap_or_else(|| panic!("lot {lot} in {text}"));
        assert!(line.contains(&word(&lot["remaining"])), "{line}: {lot}");
        assert!(
            line.contains(&word(&lot["expires_at"])[..10]),
            "{line}: {lot}"
        );
    }
    let name = encoded(account["team"].as_str().unwrap());
    let invoices = served
        .get(&format!("/v1/teams/{name}/invoices?limit=24"))
        .json();
    // Where there are more months than the page has, it leads on to those before its oldest.
    let oldest = browser.run(
        "return document.querySelector('a[href^=\"?before=\"]')?.getAttribute('href').slice(8) ?? ''",
    );
    let oldest = oldest.as_str().unwrap();
    let invoices = invoices["invoices"].as_array().unwrap().iter();
    for invoice in invoices.filter(|invoice| invoice["month"].as_str().unwrap() >= oldest) {
        says(&format!(
            "{} {}",
            word(&invoice["currency"]),
            word(&invoice["total"])
        ));
        for line in invoice["lines"].as_array().unwrap() {
            let is_row = |row: &str| {
                row.starts_with(&word(&line["meter"]))
                    && row.contains(&word(&line["tokens"]))
                    && row.ends_with(&word(&line["amount"]))
            };
            assert!(text.lines().any(is_row), "{line} in {text}");
        }
    }
}

/// A Free team that reached one cap and is near another; a Paid one with two lots, postpay, two
/// invoices and an adjustment.
fn showcase() -> Vec<String> {
    let (free, paid) = ("Atelier Nord", "harbour-works");
    let mut events = Vec::new();
    for (team, time) in [
        (free, "2026-01-05T08:00:00Z"),
        (paid, "2026-01-05T08:00:00Z"),
    ] {
        events.push(event(
            team,
            "hub",
            "hub-created",
            r#"{"hub_id":"hub"}"#,
            time,
        ));
        events.push(event(
            team,
            "app",
            "app-migrated",
            r#"{"app_id":"app"}"#,
            time,
        ));
    }
    events.push(enrol(free, "free", "2026-01-05T08:00:00Z"));
    let postpay = r#"{"offering":"postpay","country":"US","payment_method":"credit_card","good_standing":true}"#;
    let bought = r#"{"tokens":100}"#;
    events.extend([
        event(
            paid,
            "postpay",
            "offering-enrolled",
            postpay,
            "2026-01-05T09:00:00Z",
        ),
        event(
            paid,
            "order-1841",
            "tokens-purchased",
            bought,
            "2026-01-06T00:00:00Z",
        ),
        call(paid, "c-1", "automation", 86_400, "2026-01-12T00:00:00Z"),
        call(free, "f-1", "automation", 9_000, "2026-02-10T00:00:00Z"),
        call(paid, "c-2", "automation", 14_500, "2026-02-12T00:00:00Z"),
        call(paid, "c-late", "automation", 7_200, "2026-01-28T00:00:00Z").replace(
            "\"data\"",
            "\"recordedtime\":\"2026-02-20T00:00:00Z\",\"data\"",
        ),
        event(
            paid,
            "order-2207",
            "tokens-purchased",
            r#"{"tokens":250}"#,
            "2026-03-02T00:00:00Z",
        ),
        call(paid, "c-3", "automation", 30_000, "2026-03-03T00:00:00Z"),
        call(free, "f-2", "automation", 16_250, "2026-03-04T00:00:00Z"),
        call(free, "f-3", "reality_capture", 512, "2026-03-06T00:00:00Z"),
        call(free, "f-4", "reality_capture", 40, "2026-03-07T00:00:00Z"),
    ]);
    events
}

/// Under the directory of the tests' files, for a person.
fn keep_picture(name: &str, base64: &str) {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("usage-page");
    fs::create_dir_all(&directory).unwrap();
    let picture = fs::File::create(directory.join(name)).unwrap();
    let mut decoder = Command::new("base64")
        .arg("-d")
        .stdin(Stdio::piped())
        .stdout(picture)
        .spawn()
        .expect("base64 starts");
    use std::io::Write;
    let mut pipe = decoder.stdin.take().unwrap();
    pipe.write_all(base64.as_bytes()).unwrap();
    drop(pipe);
    assert!(decoder.wait().unwrap().success());
}
