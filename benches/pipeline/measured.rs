//! What a stretch of work took: time, processor time of client and broker, memory.

use std::fs;
use std::time::{Duration, Instant as WallInstant};

/// One look at the clock and at two processes.
#[derive(Clone, Copy)]
pub struct Sample {
    pub at: WallInstant,
    client_cpu: Duration,
    broker_cpu: Duration,
}

#[derive(Clone, Copy)]
pub struct Measured {
    pub records: u64,
    pub seconds: f64,
    pub client_cpu: Duration,
    pub broker_cpu: Duration,
    /// None: the bench's own process, whose peak is not the consumer's.
    pub peak_bytes: Option<u64>,
}

impl Sample {
    pub fn of(client: u32, broker: u32) -> Sample {
        Sample {
            at: WallInstant::now(),
            client_cpu: cpu_of(client).unwrap_or_default(),
            broker_cpu: cpu_of(broker).unwrap_or_default(),
        }
    }

    /// The next look. A client that has ended used nothing since.
    pub fn next(&self, client: u32, broker: u32) -> Sample {
        let next = Sample::of(client, broker);
        Sample {
            client_cpu: next.client_cpu.max(self.client_cpu),
            ..next
        }
    }
}

impl Measured {
    pub fn between(
        first: &Sample,
        last: &Sample,
        records: u64,
        peak_bytes: Option<u64>,
    ) -> Measured {
        Measured {
            records,
            seconds: (last.at - first.at).as_secs_f64(),
            client_cpu: last.client_cpu.saturating_sub(first.client_cpu),
            broker_cpu: last.broker_cpu.saturating_sub(first.broker_cpu),
            peak_bytes,
        }
    }

    pub fn per_second(&self) -> f64 {
        self.records as f64 / self.seconds.max(1e-9)
    }

    /// How many times this is faster than `other`, and how many times less processor time a record
    /// takes, the broker's included. On a machine with other work the second is the steadier one.
    pub fn ratios_to(&self, other: &Measured) -> (f64, f64) {
        let micros = |of: &Measured| of.client_micros_a_record() + of.broker_micros_a_record();
        (
            self.per_second() / other.per_second(),
            micros(other) / micros(self).max(1e-9),
        )
    }

    pub fn client_micros_a_record(&self) -> f64 {
        self.client_cpu.as_secs_f64() * 1e6 / self.records.max(1) as f64
    }

    pub fn broker_micros_a_record(&self) -> f64 {
        self.broker_cpu.as_secs_f64() * 1e6 / self.records.max(1) as f64
    }
}

/// Peak resident memory of a process; None: it has ended.
pub fn peak_of(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1_024)
}

/// User and system time of a process; None: it has ended.
fn cpu_of(process: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is a name in parentheses, with spaces perhaps; the 14th and 15th are ticks
    // of 10 ms.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()? + ticks()?;
    Some(Duration::from_millis(ticks * 10))
}
