//! What a refold reads beside the journal's record at hand: the inputs, and what is known where it
//! begins.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::ports::evidence::Records;
use crate::ports::{Changes, Store};
use crate::wire::journal::{JournalRecord, Kind};
use crate::wire::record_bytes::{self, LogRecord};

use super::chain::Sealed;
use super::difference::inputs_of;
use super::{Difference, Stop};

/// Cells that are put into a store at a time.
const LOAD_BYTES_MAX: usize = 16 << 20;

/// One input topic of the partition.
pub struct Input<R> {
    pub topic: String,
    records: R,
    /// Given up by an operator: records before it are passed over.
    pub skip_below: i64,
    /// Commits that gave records up, until one is folded again.
    pub gaps: Vec<u64>,
}

/// What the journal has told up to where a refold begins.
#[derive(Default)]
pub struct Known {
    pub cluster: String,
    pub group: String,
    pub schemas: BTreeMap<u32, Option<String>>,
}

impl Known {
    pub fn add(&mut self, record: &JournalRecord) {
        if let Kind::Genesis { cluster, group } = &record.kind {
            self.cluster.clone_from(cluster);
            self.group.clone_from(group);
        }
        let schemas = record.schemas.iter();
        self.schemas
            .extend(schemas.map(|schema| (schema.id, schema.text.clone())));
    }
}

/// Puts kept cells into an empty store. Of a cell that comes again the last value stays; none: it
/// is deleted.
pub fn load<R: Records>(cells: &mut R, store: &mut impl Store) -> Result<(), Stop> {
    let mut changes = Changes::default();
    while let Some(bytes) = cells.next()? {
        let cell =
            LogRecord::read(bytes).map_err(|fault| Stop::Store(format!("a kept cell: {fault}")))?;
        let key = cell.key.unwrap_or_default();
        match cell.value {
            Some(value) => changes.put(key, value),
            None => changes.delete(key),
        }
        if changes.bytes_len() >= LOAD_BYTES_MAX {
            store.apply(&changes)?;
            changes.clear();
        }
    }
    Ok(store.apply(&changes)?)
}

impl<R: Records> Input<R> {
    pub fn new(topic: &str, records: R) -> Input<R> {
        Input {
            topic: topic.to_owned(),
            records,
            skip_below: 0,
            gaps: Vec::new(),
        }
    }

    /// Appends the next record to `raw`; None: the end.
    pub fn take(&mut self, raw: &mut Vec<u8>) -> Result<Option<Range<usize>>, Stop> {
        while let Some(bytes) = self.records.next()? {
            if record_bytes::offset(bytes).is_some_and(|offset| offset < self.skip_below) {
                continue;
            }
            let start = raw.len();
            raw.extend_from_slice(bytes);
            return Ok(Some(start..raw.len()));
        }
        Ok(None)
    }

    /// Another record than `wanted` comes next: it is gone, or was never the next one.
    pub fn lacks(&self, sealed: &Sealed, wanted: i64, found: Option<i64>) -> Stop {
        let first = self.records.first();
        if wanted < first {
            let (topic, partition) = (&self.topic, sealed.record.partition);
            return Stop::Unproven(format!(
                "{topic} partition {partition} begins at offset {first}, the journal folds it from \
                 {wanted} on: what was there is gone, and without it, or a state kept after it, no month \
                 can be proven; give an archive that holds it"
            ));
        }
        let found = found.map_or("the end of the log".into(), |found| {
            format!("offset {found}")
        });
        self.differs(sealed, &format!("offset {wanted}"), &found)
    }

    pub fn differs(&self, sealed: &Sealed, expected: &str, found: &str) -> Stop {
        Stop::Different(Box::new(Difference {
            what: "input records",
            place: format!("{} partition {}", self.topic, sealed.record.partition),
            inputs: inputs_of(&sealed.record),
            expected: format!("{expected} (commit {})", sealed.record.sequence),
            found: found.to_owned(),
            rule: "each committed record is folded once, in the order of its offset (engine.md 4)",
        }))
    }
}
