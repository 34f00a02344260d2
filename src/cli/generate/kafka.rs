//! Generated events as records of Kafka: under their team, in its partition, in order of recorded
//! time, which is the record's time of creation. Clock ticks stay behind: they are for files.

use std::io::IsTerminal;
use std::thread;
use std::time::{Duration, Instant as Monotonic};

use indicatif::{ProgressBar, ProgressStyle};

use super::name::Printer;
use super::stream::Line;
use crate::billing::event::Body;
use crate::cli::failure::Failure;
use crate::cli::streams;
use crate::cli::writable_topic;
use crate::config::Config;
use crate::kafka::client;
use crate::kafka::cluster::Cluster;
use crate::kafka::sender::{NewRecord, Sender};
use crate::wire::event_json;
use crate::wire::partitioner::partition_of;

/// Events between two looks at the clock.
const LOOK_EVERY: u64 = 64;

/// A topic that takes events, and how many it took.
struct Topic<'a> {
    name: &'a str,
    partitions: u16,
    events: u64,
}

/// The configuration that the flags say: brokers, the two inputs (an empty one is none), properties
/// of the client, and whether plain text is allowed.
pub fn config_of_flags(
    brokers: &str,
    topic: &str,
    accounts_topic: Option<&str>,
    properties: &[(String, String)],
    is_insecure: bool,
) -> Result<Config, Failure> {
    let mut settings = vec![
        // A configuration must name a book, which a generator does not read.
        ("rates".to_owned(), "-".to_owned()),
        ("topics.api_calls".to_owned(), topic.to_owned()),
        (
            "topics.accounts".to_owned(),
            accounts_topic.unwrap_or_default().to_owned(),
        ),
        ("kafka.bootstrap.servers".to_owned(), brokers.to_owned()),
        ("insecure".to_owned(), is_insecure.to_string()),
    ];
    let properties = properties.iter();
    settings.extend(properties.map(|(name, value)| (format!("kafka.{name}"), value.clone())));
    let config = Config::load(None, [], &settings);
    let config = config.map_err(|error| Failure::invalid(error.to_string()))?;
    client::check(&config).map_err(|error| Failure::invalid(error.to_string()))?;
    Ok(config)
}

/// Sends all events: usage to the first topic, the others to the second if there is one. At most
/// `rate` a second.
pub fn send(
    lines: impl Iterator<Item = Line>,
    count: u64,
    cluster: &Cluster,
    config: &Config,
    rate: Option<u64>,
    timeout: Duration,
) -> Result<(), Failure> {
    let topic = |name| -> Result<Topic<'_>, Failure> {
        let partitions = writable_topic::partitions(cluster, name)?;
        Ok(Topic {
            name,
            partitions,
            events: 0,
        })
    };
    let mut api_calls = topic(&config.topics.api_calls)?;
    let mut accounts = config.topics.accounts.as_deref().map(topic).transpose()?;
    let mut sender = Sender::new(config, "generate", timeout)?;
    let bar = progress_bar(count)?;
    let mut pace = Pace::new(rate);
    let mut printer = Printer::default();
    let (mut key, mut value) = (Vec::new(), Vec::new());
    for line in lines {
        bar.inc(1);
        let topic = match line.event.body {
            Body::ClockTick => continue,
            Body::ApiCall(_) | Body::UsageCorrected { .. } => &mut api_calls,
            _ => accounts.as_mut().unwrap_or(&mut api_calls),
        };
        key.clear();
        value.clear();
        printer.print(&line.event, |event| {
            key.extend_from_slice(event.team.as_bytes());
            event_json::write(event, None, &mut value);
        });
        if let Some(damage) = line.damage {
            damage.break_text(&mut value);
        }
        pace.keep();
        sender.send(NewRecord {
            topic: topic.name,
            partition: partition_of(&key, topic.partitions),
            key: Some(&key),
            value: Some(&value),
            headers: &[],
            timestamp_millis: line.recorded.millis(),
        })?;
        topic.events += 1;
    }
    sender.flush()?;
    bar.finish_and_clear();
    for Topic {
        name,
        partitions,
        events,
    } in [Some(api_calls), accounts].into_iter().flatten()
    {
        let line = format!("{name}: {events} events, over {partitions} partitions by team\n");
        streams::say(line.as_bytes())?;
    }
    Ok(())
}

fn progress_bar(count: u64) -> Result<ProgressBar, Failure> {
    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new(count)
    } else {
        ProgressBar::hidden()
    };
    let style = "{bar:30} {percent}% {human_pos} events, {per_sec}, {eta} left";
    let style = ProgressStyle::with_template(style);
    bar.set_style(style.map_err(|error| Failure::failed(format!("progress bar: {error}")))?);
    Ok(bar)
}

/// Holds back what would be faster than so many a second.
struct Pace {
    per_second: Option<u64>,
    began: Monotonic,
    count: u64,
}

impl Pace {
    fn new(per_second: Option<u64>) -> Pace {
        let began = Monotonic::now();
        Pace {
            per_second,
            began,
            count: 0,
        }
    }

    fn keep(&mut self) {
        self.count += 1;
        let Some(per_second) = self.per_second else {
            return;
        };
        if per_second < LOOK_EVERY * 10 || self.count.is_multiple_of(LOOK_EVERY) {
            let due = Duration::from_nanos(
                u64::try_from(u128::from(self.count) * 1_000_000_000 / u128::from(per_second))
                    .unwrap_or(u64::MAX),
            );
            thread::sleep(due.saturating_sub(self.began.elapsed()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_make_a_configuration() {
        let properties = [("linger.ms".to_owned(), "20".to_owned())];
        let of_flags = |accounts, properties: &[_], is_insecure| {
            config_of_flags("a:1,b:2", "events", accounts, properties, is_insecure)
        };
        let config = of_flags(None, &properties, true).expect("a configuration");
        assert_eq!(config.kafka.get("bootstrap.servers"), Some("a:1,b:2"));
        assert_eq!(config.kafka.get("linger.ms"), Some("20"));
        assert_eq!(config.topics.inputs(), ["events"]);
        let config = of_flags(Some("others"), &[], true).expect("a configuration");
        assert_eq!(config.topics.inputs(), ["others", "events"]);
        let unknown = [("lingr.ms".to_owned(), "20".to_owned())];
        let failure = of_flags(None, &unknown, true).expect_err("no property");
        assert_eq!(failure.code, 4);
        assert!(failure.message.contains("linger.ms"), "{failure}");
        let failure = of_flags(None, &properties, false).expect_err("plain text");
        assert!(failure.message.contains("a:1, b:2"), "{failure}");
    }

    #[test]
    fn the_pace_is_kept() {
        let mut pace = Pace::new(Some(1_000));
        (0..2 * LOOK_EVERY).for_each(|_| pace.keep());
        assert!(pace.began.elapsed() >= Duration::from_millis(2 * LOOK_EVERY));
        let mut slow = Pace::new(Some(20));
        slow.keep();
        assert!(slow.began.elapsed() >= Duration::from_millis(50));
    }
}
