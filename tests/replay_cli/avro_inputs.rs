//! Avro containers are the same events: trace, derived events and accounts have the bytes that the
//! NDJSON form gives.

use meterfold::files::avro_container::{Codec, ContainerWriter};
use meterfold::wire::span::Text;
use meterfold::wire::{avro, cloudevents};

use crate::bench::{Bench, february};
use crate::support::program::Replay;
use crate::support::sample::Sample;

#[test]
fn containers_give_the_bytes_of_their_ndjson() {
    let bench = Bench::new();
    for sample in Sample::all() {
        let readable: Vec<Vec<u8>> = sample.lines().iter().map(|lines| readable(lines)).collect();
        let run = |name: &str, write: &dyn Fn(&[u8]) -> Vec<u8>| {
            let inputs = (0..)
                .zip(&readable)
                .map(|(number, text)| bench.write(&format!("{number}-{name}"), write(text)));
            let replay = Replay {
                inputs: inputs.collect(),
                out: bench.path(&format!("{}/{name}", sample.name)),
                ..sample.replay.clone()
            };
            replay.succeed()
        };
        let expected = run("lines.ndjson", &<[u8]>::to_vec);
        assert!(!expected.derived.is_empty() && !expected.accounts.is_empty());
        for codec in Codec::ALL {
            let name = format!("{}.avro", codec.name());
            let mut outputs = run(&name, &|text| container(text, codec));
            // A dead letter shows its record as it came.
            outputs.dead_letters.clone_from(&expected.dead_letters);
            expected.assert_equal(&format!("{} as {name}", sample.name), &outputs);
        }
    }
}

/// Both kinds of input in one run, merged by recorded time.
#[test]
fn containers_and_lines_go_together() {
    let bench = Bench::new();
    let text = february();
    let whole = bench.write("whole.ndjson", &text);
    let expected = bench.replay(&[&whole]).succeed();
    let (mut even, mut odd) = (String::new(), String::new());
    for (number, line) in text.lines().enumerate() {
        let half = if number < 4 || number % 2 == 0 {
            &mut even
        } else {
            &mut odd
        };
        half.push_str(line);
        half.push('\n');
    }
    let even = bench.write("even.avro", container(even.as_bytes(), Codec::Null));
    let odd = bench.write("odd.ndjson", odd);
    for inputs in [[&even, &odd], [&odd, &even]] {
        let mut replay = bench.replay(&[]);
        replay.inputs = inputs.map(Clone::clone).to_vec();
        replay.flags.push("--force");
        let outputs = replay.succeed();
        assert!(outputs.derived == expected.derived && outputs.accounts == expected.accounts);
    }
}

/// The events of NDJSON `text`, which can all be read, as a container.
pub fn container(text: &[u8], codec: Codec) -> Vec<u8> {
    let schema = avro::input_union_schema();
    let mut writer =
        ContainerWriter::create(Vec::new(), &schema, codec, *b"sixteen random b").expect("memory");
    for line in text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let mut text = Text {
            input: String::from_utf8(line.to_vec()).expect("text"),
            ..Text::default()
        };
        let decoded = cloudevents::decode(&text.input, 0, text.input.len(), &mut text.side);
        let event = decoded.event.expect("a readable event");
        let mut datum = Vec::new();
        avro::encode_branch(
            &event.map(|span| text.get(span)),
            decoded.recorded,
            &mut datum,
        );
        writer.append(&datum).expect("memory");
    }
    writer.finish().expect("memory")
}

/// The lines that hold an event; only these have an Avro form.
fn readable(lines: &[Vec<u8>]) -> Vec<u8> {
    let is_event = |line: &&Vec<u8>| {
        let Ok(text) = std::str::from_utf8(line) else {
            return false;
        };
        let text = text.trim_end_matches(['\n', '\r']);
        cloudevents::decode(text, 0, text.len(), &mut String::new())
            .event
            .is_ok()
    };
    let mut kept = Vec::new();
    for line in lines.iter().filter(is_event) {
        kept.extend_from_slice(line.trim_ascii_end());
        kept.push(b'\n');
    }
    kept
}
