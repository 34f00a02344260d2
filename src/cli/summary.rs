//! The summary of a file run: `summary.json`, and the table on standard output.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use crate::billing::time::Instant;
use crate::processor::counts::Counts;
use crate::wire::object::Object;

pub struct Summary {
    pub counts: Counts,
    pub teams: u64,
    pub clock: Option<Instant>,
    pub rate_book: Box<str>,
    pub state_digest: u128,
    pub elapsed: Duration,
}

impl Summary {
    /// One line of JSON (`interfaces.md` 3). What did not occur is left out.
    pub fn to_json(&self) -> String {
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        object.literal("events", self.counts.events);
        object.object("by_disposition", |object| {
            for (name, count) in self.by_disposition() {
                object.literal(name, count);
            }
        });
        object.object("dead_letters", |object| {
            for (reason, count) in &self.counts.dead_letters {
                object.literal(reason.name(), count);
            }
        });
        object.object("derived", |object| {
            for (kind, count) in &self.counts.derived {
                object.literal(kind.name(), count);
            }
        });
        object.literal("teams", self.teams);
        object.optional_quoted("clock", self.clock);
        object.string("rate_book", &self.rate_book);
        object.quoted("state_digest", format_args!("{:032x}", self.state_digest));
        object.literal(
            "seconds",
            format_args!(
                "{}.{:03}",
                self.elapsed.as_secs(),
                self.elapsed.subsec_millis()
            ),
        );
        object.literal("events_per_second", self.events_per_second());
        object.end();
        out.push(b'\n');
        String::from_utf8_lossy(&out).into_owned()
    }

    /// A table for a person.
    pub fn to_table(&self, out: &Path) -> String {
        let mut table = String::new();
        let mut row = |name: &str, value: String| {
            let _ = writeln!(table, "{name:<28}{value:>20}");
        };
        row("events", self.counts.events.to_string());
        for (name, count) in self.by_disposition() {
            row(&format!("  {name}"), count.to_string());
        }
        for (reason, count) in &self.counts.dead_letters {
            row(&format!("    {}", reason.name()), count.to_string());
        }
        row(
            "derived events",
            self.counts.derived.values().sum::<u64>().to_string(),
        );
        for (kind, count) in &self.counts.derived {
            row(&format!("  {}", kind.name()), count.to_string());
        }
        row("teams", self.teams.to_string());
        row(
            "clock",
            self.clock.map_or("-".into(), |clock| clock.to_string()),
        );
        row("events/s", self.events_per_second().to_string());
        let _ = writeln!(table, "outputs                     {}", out.display());
        table
    }

    fn by_disposition(&self) -> Vec<(&'static str, u64)> {
        let mut counts: Vec<_> = self
            .counts
            .by_disposition
            .iter()
            .map(|(kind, count)| (kind.name(), *count))
            .collect();
        let dead_letters: u64 = self.counts.dead_letters.values().sum();
        counts.extend((dead_letters > 0).then_some(("dead_letter", dead_letters)));
        counts
    }

    fn events_per_second(&self) -> u64 {
        let millis = u64::try_from(self.elapsed.as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        self.counts.events.saturating_mul(1_000) / millis
    }
}
