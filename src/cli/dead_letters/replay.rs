//! `dead-letters replay`: sends dead letters to where they came from, repaired if so asked.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::marks::Marks;
use super::{ReplayArgs, say};
use crate::billing::event::DeadLetterReason;
use crate::cli::failure::Failure;
use crate::cli::streams;
use crate::cli::writable_topic;
use crate::config::Config;
use crate::kafka::cluster::Cluster;
use crate::kafka::letters::{Letter, LetterReader};
use crate::kafka::sender::{NewRecord, Sender};
use crate::wire::dead_letter::is_mark;
use crate::wire::kafka_record::{Header, RECORD_BYTES_MAX};
use crate::wire::partitioner::partition_of;

pub fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let value = match &args.value {
        None => None,
        Some(path) => Some(std::fs::read(path).map_err(|error| {
            Failure::usage(format!(
                "--value {}: cannot be read: {error}; name a file",
                path.display()
            ))
        })?),
    };
    let config = args.config.load()?;
    let cluster = args.timeout.connect(&config)?;
    let timeout = Duration::from_secs(args.timeout.timeout);
    let reader = LetterReader::new(&cluster, &config, timeout)?;
    let mut replay = Replay {
        inputs: inputs(&cluster, &config)?,
        edit: args.edit.as_deref(),
        value: value.as_deref(),
        sender: match args.execute {
            true => Some(Sender::new(&config, "dead-letters", timeout)?),
            false => None,
        },
        sent: 0,
        refused: 0,
    };
    let found = match (args.partition, args.offset) {
        (Some(partition), Some(offset)) => replay.one(&reader, partition, offset),
        _ => replay.all(&reader, args.reason.as_deref()),
    };
    // What was sent before a failure is named all the same.
    let flushed = replay.sender.as_ref().map_or(Ok(()), Sender::flush);
    found?;
    flushed?;
    replay.conclude()
}

/// Names of the inputs and how many partitions each has.
fn inputs(cluster: &Cluster, config: &Config) -> Result<Vec<(String, u16)>, Failure> {
    let inputs = config.topics.inputs().into_iter();
    inputs
        .map(|topic| {
            Ok((
                topic.to_owned(),
                writable_topic::partitions(cluster, topic)?,
            ))
        })
        .collect()
}

struct Replay<'a> {
    inputs: Vec<(String, u16)>,
    edit: Option<&'a str>,
    value: Option<&'a [u8]>,
    /// None: only say what would be sent.
    sender: Option<Sender>,
    sent: u64,
    refused: u64,
}

impl Replay<'_> {
    fn one(
        &mut self,
        reader: &LetterReader<'_>,
        partition: u16,
        offset: i64,
    ) -> Result<(), Failure> {
        let missing = || {
            Failure::usage(format!(
                "--partition {partition} --offset {offset}: there is no dead letter; take a place \
                 (PARTITION@OFFSET) from meterfold dead-letters list"
            ))
        };
        if partition >= reader.partitions()? {
            return Err(missing());
        }
        let end = reader.read(partition, Some(offset), |letter| {
            ControlFlow::Break(match letter.offset == offset {
                true => self.take(&letter, &Marks::of(&letter)),
                // Here a commit ended, or an aborted one lay.
                false => Err(missing()),
            })
        })?;
        match end {
            ControlFlow::Break(result) => result,
            ControlFlow::Continue(()) => Err(missing()),
        }
    }

    fn all(&mut self, reader: &LetterReader<'_>, reason: Option<&str>) -> Result<(), Failure> {
        for partition in 0..reader.partitions()? {
            let end = reader.read(partition, None, |letter| {
                let marks = Marks::of(&letter);
                if !marks.is_of(reason) {
                    return ControlFlow::Continue(());
                }
                match self.take(&letter, &marks) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(failure) => ControlFlow::Break(failure),
                }
            })?;
            if let ControlFlow::Break(failure) = end {
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Sends one, or says why it cannot be.
    fn take(&mut self, letter: &Letter<'_>, marks: &Marks<'_>) -> Result<(), Failure> {
        let place = format!("{}@{}", letter.partition, letter.offset);
        let (topic, partition, timestamp_millis) = match self.destination(letter, marks) {
            Ok(destination) => destination,
            Err(reason) => {
                self.refuse(&place, &reason);
                return Ok(());
            }
        };
        let edited = match self.edit {
            None => None,
            Some(edit) => Some(edited(edit, &place, letter.value.unwrap_or_default())?),
        };
        let value = edited.as_deref().or(self.value).or(letter.value);
        let headers = letter.headers.iter().filter(|(name, _)| !is_mark(name));
        let headers: Vec<Header<'_>> = headers.copied().collect();
        let bytes = bytes(letter.key, value, &headers);
        if bytes > RECORD_BYTES_MAX {
            let reason = format!("repaired it has {bytes} bytes, more than {RECORD_BYTES_MAX}");
            self.refuse(&place, &reason);
            return Ok(());
        }
        let verb = match &mut self.sender {
            None => "would send",
            Some(sender) => {
                sender.send(NewRecord {
                    topic: &topic,
                    partition,
                    key: letter.key,
                    value,
                    headers: &headers,
                    timestamp_millis,
                })?;
                "sent"
            }
        };
        self.sent += 1;
        let reason = marks.reason.unwrap_or("-");
        let detail = marks.detail.unwrap_or("-");
        let line = format!("{place} {reason} {detail}: {verb} to {topic} partition {partition}");
        say(line.as_bytes())
    }

    /// Topic, partition and time of the record; or why it may not be sent.
    fn destination(
        &self,
        letter: &Letter<'_>,
        marks: &Marks<'_>,
    ) -> Result<(String, u16, i64), String> {
        let (Some(topic), Some(partition), Some(offset), Some(timestamp_millis)) = (
            marks.topic,
            marks.partition,
            marks.offset,
            marks.timestamp_millis,
        ) else {
            return Err(
                "it does not say where it came from, so it is no dead letter of ours".to_owned(),
            );
        };
        let Some((topic, partitions)) = self.inputs.iter().find(|(input, _)| input == topic) else {
            return Err(format!(
                "it came from {topic}, which is no input of this configuration"
            ));
        };
        if marks.is_truncated {
            return Err(format!(
                "only the beginning of it was kept; its producer has to send {topic} \
                 {partition}@{offset} again, smaller"
            ));
        }
        let is = |reason: DeadLetterReason| marks.reason == Some(reason.name());
        let is_misplaced = is(DeadLetterReason::WrongPartition) || is(DeadLetterReason::WrongKey);
        let is_repaired = self.edit.is_some() || self.value.is_some();
        if is(DeadLetterReason::WrongKey) && !is_repaired {
            return Err(
                "its key is not its subject, so it would be refused again; repair the subject with \
                 --edit or --value, or let its producer send it under the right key"
                    .to_owned(),
            );
        }
        let partition = match letter.key {
            Some(key) if is_misplaced => partition_of(key, *partitions),
            _ => partition,
        };
        Ok((topic.clone(), partition, timestamp_millis))
    }

    fn refuse(&mut self, place: &str, reason: &str) {
        self.refused += 1;
        streams::note(format_args!("{place}: is not sent: {reason}"));
    }

    fn conclude(&self) -> Result<(), Failure> {
        let (sent, refused) = (self.sent, self.refused);
        match self.sender {
            Some(_) => say(format!("{sent} sent").as_bytes())?,
            None => say(format!("{sent} would be sent; send them with --execute").as_bytes())?,
        }
        if refused > 0 {
            return Err(Failure::guard_rail(format!(
                "{refused} dead letters cannot be sent, for the reasons above"
            )));
        }
        Ok(())
    }
}

/// As the limit of the processor counts them.
fn bytes(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) -> usize {
    let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = headers.iter().map(|(name, value)| name.len() + len(*value));
    len(key) + len(value) + headers.sum::<usize>()
}

/// What a shell command makes of a value.
fn edited(edit: &str, place: &str, value: &[u8]) -> Result<Vec<u8>, Failure> {
    let failed = |why: String| {
        Failure::failed(format!(
            "--edit: of dead letter {place}: {why}; those named above are sent or would be, mend the \
             command and run again"
        ))
    };
    let mut child = Command::new("sh")
        .args(["-c", edit])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("no shell: {error}")))?;
    let input = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // A command that does not read to the end breaks the pipe, which is its own affair.
        scope.spawn(|| input.map(|mut input| input.write_all(value)));
        child.wait_with_output()
    });
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(format!("the command ended with {}", output.status)));
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_edits_the_value() {
        let sed = edited("sed s/a/b/", "0@1", b"a").expect("edited");
        assert_eq!(sed.strip_suffix(b"\n").unwrap_or(&sed), b"b");
        // More than a pipe holds, read and not read.
        let large = vec![b'x'; 1 << 20];
        assert_eq!(edited("cat", "0@1", &large).expect("edited"), large);
        assert_eq!(edited("echo y", "0@1", &large).expect("edited"), b"y\n");
        let failure = edited("exit 3", "0@1", b"a").expect_err("it fails");
        assert_eq!(failure.code, 1);
        assert!(
            failure.message.contains("0@1") && failure.message.contains('3'),
            "{failure}"
        );
    }
}
