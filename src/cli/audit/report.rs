//! What an audit tells: text for a person, or one JSON object.

use crate::billing::time::Month;
use crate::cli::failure::Failure;
use crate::cli::streams;
use crate::ports::evidence::EvidenceError;
use crate::processor::audit::chain::{Chain, OperatorDecision};
use crate::processor::audit::{Difference, Equal, Stop};
use crate::wire::object::Object;

/// What came of one partition.
pub struct Audited {
    pub partition: u16,
    /// None: the journal is not whole.
    pub chain: Option<Chain>,
    pub verdict: Verdict,
}

pub enum Verdict {
    /// The journal is whole; nothing else was asked.
    Chained,
    Equal(Equal),
    Stopped(Stop),
}

pub fn of_chains(partitions: &[u16], chains: Vec<Result<Chain, Stop>>) -> Vec<Audited> {
    let audited = partitions.iter().zip(chains).map(|(partition, chain)| {
        let (chain, verdict) = match chain {
            Ok(chain) => (Some(chain), Verdict::Chained),
            Err(stop) => (None, Verdict::Stopped(stop)),
        };
        Audited {
            partition: *partition,
            chain,
            verdict,
        }
    });
    audited.collect()
}

/// Exit code and line of a partition that is not equal.
pub fn failure(partition: u16, stop: &Stop) -> Failure {
    match stop {
        Stop::Different(difference) => Failure::different(format!(
            "partition {partition} is different: {} at {}: {}",
            difference.what, difference.place, difference.rule
        )),
        Stop::Unproven(text) => Failure::guard_rail(format!("cannot be proven: {text}")),
        Stop::Unknown(text) => Failure::usage(text.clone()),
        Stop::Foreign(text) => Failure::invalid(text.clone()),
        Stop::Interrupted => Failure::new(130, "interrupted"),
        Stop::Evidence(error) => error.clone().into(),
        Stop::Store(text) => Failure::failed(format!("the store of the refold: {text}")),
        Stop::Kept(text) => Failure::state(format!(
            "what the interrupted audit left cannot be gone on with: {text}; remove the directory of \
             --work-dir and audit anew"
        )),
    }
}

pub fn print(
    audited: &[Audited],
    team: Option<&str>,
    month: Option<Month>,
    is_json: bool,
) -> Result<(), Failure> {
    let mut out = Vec::new();
    match is_json {
        true => json(audited, team, month, &mut out),
        false => audited
            .iter()
            .for_each(|audited| text(audited, month, &mut out)),
    }
    streams::say(&out)
}

fn text(audited: &Audited, month: Option<Month>, out: &mut Vec<u8>) {
    let mut line = |line: String| {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    };
    let partition = audited.partition;
    match &audited.verdict {
        Verdict::Chained => line(format!("partition {partition}: the chain is whole")),
        Verdict::Equal(equal) => {
            let month = month.map(|month| month.to_string()).unwrap_or_default();
            let state = match equal.is_closed {
                true => "is closed",
                false => "is still open: equal so far",
            };
            line(format!(
                "partition {partition}: equal: {} commits, {} records, {} published events of {month}, \
                 which {state}",
                equal.commits, equal.records, equal.events
            ));
            let (letters, gone) = (equal.letters, equal.letters_gone);
            if letters + gone > 0 {
                line(format!(
                    "  {letters} dead letters equal, {gone} no longer kept in their topic"
                ));
            }
            line(match equal.start {
                Some(sequence) => format!("  folded from the state kept after commit {sequence}"),
                None => "  folded from the start of the log".to_owned(),
            });
        }
        Verdict::Stopped(Stop::Different(difference)) => {
            line(format!(
                "partition {partition}: DIFFERENT: {}",
                difference.what
            ));
            for (name, value) in members(difference) {
                line(format!("  {name:9} {value}"));
            }
            let inputs = difference.inputs.iter();
            inputs.for_each(|input| line(format!("  {:9} {input}", "input")));
        }
        Verdict::Stopped(stop) => {
            let failure = failure(partition, stop);
            line(format!("partition {partition}: {}", failure.message));
        }
    }
    if let Some(chain) = &audited.chain {
        line(format!("  journal head {}", chain.head));
        for decision in &chain.decisions {
            line(format!(
                "  commit {} by an operator: {}",
                decision.sequence,
                told(decision)
            ));
        }
    }
}

/// A decision, its reason, and the months that it leaves without proof.
pub fn told(decision: &OperatorDecision) -> String {
    let unproven = decision.unproven.map_or(String::new(), |(first, last)| {
        format!("; not proven: {first} to {last}")
    });
    format!("{} ({}){unproven}", decision.decision, decision.reason)
}

fn members(difference: &Difference) -> [(&'static str, &str); 4] {
    [
        ("at", &difference.place),
        ("kept", &difference.expected),
        ("refolded", &difference.found),
        ("rule", difference.rule),
    ]
}

fn json(audited: &[Audited], team: Option<&str>, month: Option<Month>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.string("result", result(audited));
    object.optional_string("team", team);
    object.optional_quoted("month", month);
    object.list("partitions", audited, |out, audited| {
        let mut object = Object::begin(out);
        object.literal("partition", audited.partition);
        object.string("result", result_of(&audited.verdict));
        if let Verdict::Equal(equal) = &audited.verdict {
            object.optional_literal("from_commit", equal.start);
            object.literal("commits", equal.commits);
            object.literal("records", equal.records);
            object.literal("events", equal.events);
            object.literal("dead_letters", equal.letters);
            object.literal("dead_letters_gone", equal.letters_gone);
            object.literal("closed", equal.is_closed);
        }
        if let Verdict::Stopped(stop) = &audited.verdict {
            object.string("reason", &failure(audited.partition, stop).message);
        }
        if let Verdict::Stopped(Stop::Different(difference)) = &audited.verdict {
            object.object("difference", |object| {
                object.string("what", difference.what);
                members(difference)
                    .iter()
                    .for_each(|(name, value)| object.string(name, value));
                object.list("inputs", &difference.inputs, |out, input| {
                    crate::wire::json_text::write_string(input, out);
                });
            });
        }
        if let Some(chain) = &audited.chain {
            object.quoted("head", chain.head);
            write_decisions(&mut object, &chain.decisions);
        }
        object.end();
    });
    object.end();
    out.push(b'\n');
}

pub fn write_decisions(object: &mut Object, decisions: &[OperatorDecision]) {
    object.list("decisions", decisions, |out, decision| {
        let mut object = Object::begin(out);
        object.literal("sequence", decision.sequence);
        object.string("decision", &decision.decision);
        object.string("reason", &decision.reason);
        let months = decision.unproven;
        object.optional_quoted("unproven_from", months.map(|(first, _)| first));
        object.optional_quoted("unproven_to", months.map(|(_, last)| last));
        object.end();
    });
}

/// The worst of all partitions.
fn result(audited: &[Audited]) -> &'static str {
    let results = || audited.iter().map(|audited| result_of(&audited.verdict));
    ["different", "failed", "unproven", "equal", "whole"]
        .into_iter()
        .find(|result| results().any(|found| found == *result))
        .unwrap_or("whole")
}

fn result_of(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Chained => "whole",
        Verdict::Equal(_) => "equal",
        Verdict::Stopped(Stop::Different(_) | Stop::Evidence(EvidenceError::Damaged(_))) => {
            "different"
        }
        Verdict::Stopped(Stop::Unproven(_)) => "unproven",
        Verdict::Stopped(_) => "failed",
    }
}
