//! Any bytes are an input: each line that is not blank becomes an event or a dead letter, is
//! counted once, and gives the bytes that the reference model gives.

use serde_json::{Value, json};

use crate::bench::{Bench, book_json, call, event, february};
use crate::model::{self, Input, Options};
use crate::support::program::Outputs;
use crate::support::random::Random;

const MEBIBYTE: usize = 1 << 20;

#[test]
fn mutated_lines_give_what_the_model_gives() {
    let lines = every_kind_of_event();
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let mut text = Vec::new();
        for _ in 0..400 {
            let mut line = random.one_of(&lines).clone().into_bytes();
            for _ in 0..random.below(3) {
                mutate(&mut random, &mut line, &lines);
            }
            text.extend(line);
        }
        folds_as_the_model_does(&format!("seed {seed}"), &text);
    }
}

#[test]
fn random_bytes_give_what_the_model_gives() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        // From mostly text to any bytes; line feeds are frequent.
        let alphabet: Vec<u8> = match seed % 4 {
            0 => (0..=255).collect(),
            1 => b"{}[]\":,\\ntu0123456789eE+-. \t\r".to_vec(),
            2 => (b' '..=b'~').collect(),
            _ => vec![b' ', b'\t', b'\r', 0, b'{', b'}', 0xff, 0xef, 0xbb, 0xbf],
        };
        let length = random.below(50_000);
        let bytes: Vec<u8> = (0..length)
            .map(|_| match random.once_in(12) {
                true => b'\n',
                false => *random.one_of(&alphabet),
            })
            .collect();
        folds_as_the_model_does(&format!("seed {seed}"), &bytes);
    }
}

#[test]
fn no_input_at_all_is_fine() {
    for text in ["", "\n", "\r\n", " \t\n\n\r\n", "\r"] {
        let outputs = folds_as_the_model_does(&format!("{text:?}"), text.as_bytes());
        assert!(outputs.files().iter().all(|file| file.is_empty()));
    }
}

#[test]
fn a_line_has_at_most_a_mebibyte_without_its_end() {
    // Padded with letters of two bytes, so that a cut may fall within one.
    let line = |id: &str, length: usize| {
        let whole = call("team-1", id, "2026-02-10T10:00:00Z", 1);
        let start = whole.trim_end().strip_suffix('}').expect("an object");
        let mut line = format!("{start},\"padding\":\"");
        if (length - line.len()) % 2 == 1 {
            line.push('e');
        }
        let letters = (length - line.len() - 2) / 2;
        format!("{line}{}\"}}", "\u{e9}".repeat(letters))
    };
    let (fits, over, far_over) = (
        line("fits", MEBIBYTE),
        line("over", MEBIBYTE + 1),
        line("far", 3 * MEBIBYTE),
    );
    assert_eq!((fits.len(), over.len()), (MEBIBYTE, MEBIBYTE + 1));
    let mut not_text = over.clone().into_bytes();
    not_text[20] = 0xff;
    let mut not_text_fits = fits.clone().into_bytes();
    not_text_fits[20] = 0xff;

    let mut text = february().into_bytes();
    let mut expected = Vec::new();
    for (bytes, end, disposition, is_cut) in [
        (fits.as_bytes(), "\n", "charged", false),
        (fits.as_bytes(), "\r\n", "duplicate", false),
        (over.as_bytes(), "\n", "dead_letter", true),
        (over.as_bytes(), "\r\n", "dead_letter", true),
        (far_over.as_bytes(), "\n", "dead_letter", true),
        (b"\t ", "\n", "blank", false),
        (b"", "\r\n", "blank", false),
        (&not_text, "\r\n", "dead_letter", true),
        (&not_text_fits, "\n", "dead_letter", false),
        (&not_text_fits, "\r\n", "dead_letter", false),
        (&vec![b' '; MEBIBYTE], "\n", "blank", false),
        (fits.as_bytes(), "\r\r\n", "dead_letter", true),
        (b"\r", "\r\n", "dead_letter", false),
        (far_over.as_bytes(), "", "dead_letter", true),
    ] {
        text.extend_from_slice(bytes);
        text.extend_from_slice(end.as_bytes());
        expected.push((disposition, is_cut));
    }
    let outputs = folds_as_the_model_does("lines at the limit", &text);

    let parsed = |lines: &[u8]| -> Vec<Value> {
        let lines = lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).expect("JSON"))
            .collect()
    };
    let (trace, dead) = (parsed(&outputs.trace), parsed(&outputs.dead_letters));
    for (line, (disposition, is_cut)) in (13..).zip(expected) {
        let traced = trace.iter().find(|traced| traced["line"] == line);
        match disposition {
            "blank" => assert!(traced.is_none(), "line {line}"),
            _ => assert_eq!(
                traced.expect("a trace line")["disposition"],
                disposition,
                "line {line}"
            ),
        }
        if disposition == "dead_letter" {
            let dead = dead
                .iter()
                .find(|dead| dead["line"] == line)
                .expect("a dead letter");
            assert_eq!(
                (&dead["reason"], &dead["detail"]),
                (&json!("malformed"), &json!("record"))
            );
            assert_eq!(dead["truncated"] == true, is_cut, "line {line}");
        }
    }
}

/// Containers with flipped, lost and added bytes: read or refused, never a panic, all counted.
#[test]
fn damaged_containers_are_read_or_refused() {
    use meterfold::files::avro_container::Codec;
    let whole = crate::avro_inputs::container(february().as_bytes(), Codec::Deflate);
    let bench = Bench::new();
    let (mut read, mut refused) = (0, 0);
    for seed in 0..120 {
        let mut random = Random::new(seed);
        let mut bytes = whole.clone();
        for _ in 0..=random.below(3) {
            // The header is long: half of the faults shall lie behind it.
            let tail = bytes.len().min(600);
            let at = match random.once_in(2) {
                true => random.below(bytes.len()),
                false => bytes.len() - 1 - random.below(tail),
            };
            match random.below(4) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, random.next() as u8),
                _ => bytes.truncate(at + 1),
            }
        }
        let mut replay = bench.replay(&[&bench.write("damaged.avro", bytes)]);
        replay.flags.extend(["--force", "--allow-clock-jump"]);
        let output = replay.run();
        match output.status.code() {
            Some(0) => {
                read += 1;
                counts_add_up(&format!("seed {seed}"), &replay.out);
            }
            Some(2) => refused += 1,
            code => panic!("seed {seed}: {code:?}: {output:?}"),
        }
    }
    assert!(read > 20 && refused > 20, "{read} read, {refused} refused");
}

fn folds_as_the_model_does(place: &str, text: &[u8]) -> Outputs {
    let bench = Bench::new();
    let mut replay = bench.replay(&[&bench.write("input.ndjson", text)]);
    replay.flags.push("--allow-clock-jump");
    let outputs = replay.succeed();
    let options = Options {
        until_ms: None,
        allow_clock_jump: true,
    };
    let book = book_json().to_string();
    let expected = model::run(book.as_bytes(), &[Input { bytes: text }], &options).expect("a book");
    let expected = Outputs {
        trace: expected.trace,
        dead_letters: expected.dead_letters,
        derived: expected.derived,
        accounts: expected.accounts,
    };
    expected.assert_equal(place, &outputs);

    let events = counts_add_up(place, &replay.out);
    let is_blank = |line: &&[u8]| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.iter().all(|byte| matches!(byte, b' ' | b'\t'))
    };
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !is_blank(line))
        .count();
    assert_eq!(
        events, lines,
        "{place}: every line that is not blank is an event"
    );
    outputs
}

/// Events = trace lines = sum of dispositions. Returns their number.
fn counts_add_up(place: &str, out: &std::path::Path) -> usize {
    let summary = std::fs::read(out.join("summary.json")).expect("a summary");
    let summary: Value = serde_json::from_slice(&summary).expect("JSON");
    let sum = |member: &str| -> u64 {
        let counts = summary[member].as_object().expect("counts").values();
        counts.map(|count| count.as_u64().expect("a number")).sum()
    };
    let lines = |file: &[u8]| file.split(|byte| *byte == b'\n').count() as u64 - 1;
    let outputs = Outputs::read(out);
    let events = summary["events"].as_u64().expect("a number");
    assert_eq!(sum("by_disposition"), events, "{place}: dispositions");
    assert_eq!(lines(&outputs.trace), events, "{place}: trace lines");
    assert_eq!(
        lines(&outputs.dead_letters),
        sum("dead_letters"),
        "{place}: dead letters"
    );
    assert_eq!(
        lines(&outputs.derived),
        sum("derived"),
        "{place}: derived events"
    );
    events as usize
}

/// One well-formed line of each type and some more.
fn every_kind_of_event() -> Vec<String> {
    let mut lines: Vec<String> = february().lines().map(|line| format!("{line}\n")).collect();
    for (number, (kind, data)) in [
        ("usage-corrected", json!({"app_id": "app", "api": "automation", "engine": "autocad", "quantity": -720, "corrects": "c-2"})),
        ("offering-enrolled", json!({"offering": "postpay", "country": "JP", "payment_method": "paypal", "good_standing": true, "currency": "JPY"})),
        ("offering-enrolled", json!({"offering": "free"})),
        ("postpay-cancelled", json!({})),
        ("standing-changed", json!({"good": false})),
        ("downgrade-requested", json!({})),
        ("app-migrated", json!({"app_id": "app-2", "hub_id": "hub"})),
        ("tokens-purchased", json!({"tokens": 100, "amount": "300.00", "currency": "USD", "expires_at": "2026-03-01T00:00:00Z"})),
        ("tokens-adjusted", json!({"delta": "-1.5", "reason": "goodwill", "purpose": "api"})),
        ("trial-started", json!({"credits": 25, "ends_at": "2026-03-01T00:00:00Z"})),
        ("credits-purchased", json!({"channel": "forge_team", "pack": 100, "packs": 2, "account_kind": "forge", "amount": "200"})),
        ("credits-transferred", json!({"to": "team-2", "credits": 5})),
        ("clock-tick", json!({})),
        ("api-call", json!({"app_id": "app", "method": "POST", "path": "/modelderivative/v2/designdata/job?x=\u{e9}", "source_format": "rvt", "status": "success", "http_status": 200})),
        ("api-call", json!({"app_id": "a\"\\\n\u{1}\u{7f}\u{10ffff}", "api": "reality_capture", "quantity": 0})),
    ]
    .into_iter()
    .enumerate()
    {
        let time = format!("2026-02-{:02}T10:00:00.25+01:00", number + 3);
        lines.push(event("team-1", &format!("k-{number}"), kind, &time, data));
    }
    lines
}

fn mutate(random: &mut Random, line: &mut Vec<u8>, lines: &[String]) {
    const TOKENS: [&[u8]; 28] = [
        b"null",
        b"true",
        b"-0",
        b"1e3",
        b"1.0",
        b"9223372036854775808",
        b"-1",
        b"\"\"",
        b"{}",
        b"[]",
        b"\\u0000",
        b"\\ud800",
        b"\\udc00\\ud800",
        b"\\/",
        b"\xef\xbb\xbf",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xc0\x80",
        b"\r",
        b"\n",
        b" \t",
        b"\x00",
        b",",
        b"\"id\":\"again\",",
        b"\"data\":{},",
        b"\"recordedtime\":\"2026-02-20T00:00:00Z\",",
        b"1970-01-01T00:00:00Z",
        b"9999",
    ];
    if line.is_empty() {
        return;
    }
    let at = random.below(line.len());
    let end = at + random.below(line.len() - at + 1).min(20);
    match random.below(9) {
        0 => line[at] ^= 1 << random.below(8),
        1 => drop(line.remove(at)),
        2 => line.insert(at, random.next() as u8),
        3 => line.truncate(at),
        4 => drop(line.drain(at..end)),
        5 => line.extend_from_within(at..end),
        6 => drop(line.splice(at..at, random.one_of(&TOKENS).iter().copied())),
        // A value or a member takes the place of another.
        7 => {
            let colon = line[at..].iter().position(|byte| *byte == b':');
            if let Some(value) = colon.map(|colon| at + colon + 1) {
                let end = line[value..]
                    .iter()
                    .position(|byte| matches!(byte, b',' | b'}'));
                let end = end.map_or(line.len(), |length| value + length);
                line.splice(value..end, random.one_of(&TOKENS).iter().copied());
            }
        }
        _ => {
            let other = random.one_of(lines).as_bytes();
            let cut = random.below(other.len());
            line.truncate(at);
            line.extend_from_slice(&other[cut..]);
        }
    }
}
