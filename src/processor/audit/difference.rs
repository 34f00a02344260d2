//! Differences between a journal and its refold, as they are told.

use crate::billing::time::Instant;
use crate::processor::partition::PartitionError;
use crate::wire::journal::{self, JournalRecord, Output, WriterSchema};

use super::chain::{Sealed, hex};
use super::{Difference, Stop};

/// Commit and place of a journal record.
pub fn place(sealed: &Sealed) -> String {
    format!(
        "partition {} commit {} (journal offset {})",
        sealed.record.partition, sealed.record.sequence, sealed.offset
    )
}

/// The input records that a commit folded: topic, first offset and number of each run.
pub fn inputs_of(record: &JournalRecord) -> Vec<String> {
    let runs = record.runs.iter().map(|run| {
        let topic = record.positions.get(run.input as usize);
        format!(
            "{} partition {} offset {} ({} records)",
            topic.map_or("?", |(topic, _)| topic.as_str()),
            record.partition,
            run.first_offset,
            run.count
        )
    });
    runs.collect()
}

pub fn different(sealed: &Sealed, what: &'static str, expected: &str, found: &str) -> Stop {
    Stop::Different(Box::new(Difference {
        what,
        place: place(sealed),
        inputs: inputs_of(&sealed.record),
        expected: expected.to_owned(),
        found: found.to_owned(),
        rule: "the journal fixes everything that the fold depends on (engine.md 4)",
    }))
}

/// The first member that differs, those that say most first.
pub fn journal_differs(sealed: &Sealed, refolded: &[u8]) -> Stop {
    let kept = &sealed.record;
    let Ok(found) = JournalRecord::decode(refolded) else {
        return different(sealed, "journal record", "a record", "none");
    };
    let output = |output: &Output| format!("{} of digest {}", output.count, hex(&output.digest));
    let members: [(&'static str, String, String); 12] = [
        (
            "runs",
            format!("{:?}", kept.runs),
            format!("{:?}", found.runs),
        ),
        (
            "input digest",
            hex(&kept.input_digest),
            hex(&found.input_digest),
        ),
        ("clock", shown(kept.clock), shown(found.clock)),
        ("timer cursor", cursor(kept), cursor(&found)),
        (
            "dispositions",
            format!("{:?}", kept.dispositions),
            format!("{:?}", found.dispositions),
        ),
        (
            "dead letter reasons",
            format!("{:?}", kept.dead_letter_reasons),
            format!("{:?}", found.dead_letter_reasons),
        ),
        (
            "dead letters",
            output(&kept.dead_letters),
            output(&found.dead_letters),
        ),
        (
            "derived events",
            output(&kept.derived),
            output(&found.derived),
        ),
        (
            "state digest",
            format!("{:032x}", kept.state_digest),
            format!("{:032x}", found.state_digest),
        ),
        (
            "positions",
            format!("{:?}", kept.positions),
            format!("{:?}", found.positions),
        ),
        ("writer schemas", ids(&kept.schemas), ids(&found.schemas)),
        (
            "journal record",
            hex(&journal::digest(&sealed.encoded)),
            hex(&journal::digest(refolded)),
        ),
    ];
    let first = members.into_iter().find(|(_, kept, found)| kept != found);
    match first {
        Some((what, expected, found)) => different(sealed, what, &expected, &found),
        None => different(sealed, "journal record", "the same", "the same"),
    }
}

fn ids(schemas: &[WriterSchema]) -> String {
    let ids: Vec<u32> = schemas.iter().map(|schema| schema.id).collect();
    format!("{ids:?}")
}

fn shown(clock: Option<Instant>) -> String {
    clock.map_or("none".to_owned(), |clock| clock.to_string())
}

fn cursor(record: &JournalRecord) -> String {
    let cursor = record.timer_cursor.as_ref();
    cursor.map_or("none".to_owned(), |cursor| {
        format!("{} of {}", cursor.due, cursor.team)
    })
}

impl From<PartitionError> for Stop {
    fn from(error: PartitionError) -> Stop {
        match error {
            PartitionError::Store(error) => error.into(),
            PartitionError::Broken { place, broken } => Stop::Different(Box::new(Difference {
                what: "fold",
                place,
                inputs: Vec::new(),
                expected: "a commit in the journal".into(),
                found: broken.to_string(),
                rule: "an invariant of the fold holds for every record (fold.md 10)",
            })),
        }
    }
}
