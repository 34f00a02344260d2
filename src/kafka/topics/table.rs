//! What each topic must be (`engine.md` 11, `interfaces.md` 5), as one table.

use std::fmt;

use crate::config::{Config, RecordedTime};

use super::fault::Severity;

const HOUR_MILLIS: i64 = 3_600_000;
const DAY_MILLIS: i64 = 24 * HOUR_MILLIS;
const MIB: i64 = 1 << 20;
/// Of 2 MiB, and room for the frame of a batch.
const DEAD_LETTER_BATCH_BYTES: i64 = 2 * MIB + (64 << 10);

/// A topic and what it must be.
#[derive(Clone, Debug)]
pub struct TopicRules {
    pub name: String,
    /// Not ours: read, never written.
    pub is_input: bool,
    /// Ours to read again: changelog and journal.
    pub is_read: bool,
    pub settings: Vec<SettingRule>,
}

/// A setting of a topic: what it gets when the topic is made, and what it may be.
#[derive(Clone, Debug)]
pub struct SettingRule {
    pub name: &'static str,
    pub made: String,
    pub may_be: MayBe,
    pub severity: Severity,
    /// Ends the sentence: it must be so `because`.
    pub because: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MayBe {
    Only(&'static str),
    AtLeast(i64),
    AtMost(i64),
    /// A share, in hundredths.
    AtMostPercent(i64),
    /// -1, or at least so much.
    UnlimitedOrAtLeast(i64),
    Unlimited,
}

/// All topics of a configuration: the table of `engine.md` 11.
pub fn rules(config: &Config) -> Vec<TopicRules> {
    use MayBe::{AtLeast, AtMost, AtMostPercent, Only, Unlimited, UnlimitedOrAtLeast};
    use Severity::{Error, Warning};
    let topics = &config.topics;
    let recorded = match config.recorded_time {
        RecordedTime::Append => "LogAppendTime",
        RecordedTime::Record => "CreateTime",
    };
    let replicas_needed = i64::from(topics.min_insync_replicas);
    let rule = |name, made: &str, may_be, severity, because| SettingRule {
        name,
        made: made.to_owned(),
        may_be,
        severity,
        because,
    };
    let only = |name, value: &'static str, because| rule(name, value, Only(value), Error, because);
    let number = |name, made: i64, may_be, severity, because| {
        rule(name, &made.to_string(), may_be, severity, because)
    };
    let safe = || {
        vec![
            only(
                "unclean.leader.election.enable",
                "false",
                "an election of a replica that lags loses committed records",
            ),
            number(
                "min.insync.replicas",
                replicas_needed,
                AtLeast(replicas_needed),
                Error,
                "a record must outlive a broker",
            ),
        ]
    };
    let with = |more: Vec<SettingRule>| {
        let mut settings = safe();
        settings.extend(more);
        settings
    };
    let written_bytes = |made: i64| {
        number(
            "max.message.bytes",
            made,
            AtLeast(made.min(2 * MIB)),
            Error,
            "a batch that is refused stops the commit that it is part of",
        )
    };

    let input = with(vec![
        only(
            "cleanup.policy",
            "delete",
            "compaction keeps one event of a team and drops its usage",
        ),
        only(
            "message.timestamp.type",
            recorded,
            "the recorded time of an event is read from it, as recorded_time says",
        ),
        number(
            "retention.ms",
            -1,
            Unlimited,
            Warning,
            "an audit needs the events, so keep them until they are archived",
        ),
        number(
            "retention.bytes",
            -1,
            Unlimited,
            Warning,
            "an audit needs the events, so keep them until they are archived",
        ),
    ]);
    let derived = with(vec![
        only(
            "cleanup.policy",
            "delete",
            "compaction drops facts about a team",
        ),
        written_bytes(MIB),
    ]);
    let dead_letters = with(vec![
        only("cleanup.policy", "delete", "compaction drops dead letters"),
        number(
            "retention.ms",
            90 * DAY_MILLIS,
            UnlimitedOrAtLeast(90 * DAY_MILLIS),
            Warning,
            "a record is to be repaired before it goes",
        ),
        written_bytes(DEAD_LETTER_BATCH_BYTES),
    ]);
    let changelog = with(vec![
        only(
            "cleanup.policy",
            "compact",
            "the state is the latest value of every cell",
        ),
        only(
            "message.timestamp.type",
            "LogAppendTime",
            "the age of a state is read from it",
        ),
        number(
            "delete.retention.ms",
            7 * DAY_MILLIS,
            AtLeast(7 * DAY_MILLIS),
            Error,
            "a store that was away must still see what was deleted",
        ),
        number(
            "segment.ms",
            DAY_MILLIS,
            AtMost(DAY_MILLIS),
            Error,
            "only closed segments are compacted, and a restore reads them all",
        ),
        rule(
            "min.cleanable.dirty.ratio",
            "0.3",
            AtMostPercent(50),
            Warning,
            "a restore reads what is not compacted yet",
        ),
        written_bytes(MIB),
    ]);
    let journal = with(vec![
        only(
            "cleanup.policy",
            "delete",
            "every record of the journal is needed",
        ),
        only(
            "message.timestamp.type",
            "LogAppendTime",
            "an audit reads from it when a commit was made",
        ),
        number(
            "retention.ms",
            -1,
            Unlimited,
            Error,
            "an audit needs the whole chain",
        ),
        number(
            "retention.bytes",
            -1,
            Unlimited,
            Error,
            "an audit needs the whole chain",
        ),
        written_bytes(MIB),
    ]);

    let topic =
        |name: &str, is_input: bool, is_read: bool, settings: &Vec<SettingRule>| TopicRules {
            name: name.to_owned(),
            is_input,
            is_read,
            settings: settings.clone(),
        };
    let inputs = topics.inputs().into_iter().rev();
    let mut all: Vec<TopicRules> = inputs.map(|name| topic(name, true, true, &input)).collect();
    all.extend(
        topics
            .derived()
            .into_iter()
            .map(|name| topic(name, false, false, &derived)),
    );
    all.push(topic(&topics.dead_letters, false, false, &dead_letters));
    all.push(topic(&topics.changelog, false, true, &changelog));
    all.push(topic(&topics.journal, false, true, &journal));
    all
}

impl MayBe {
    pub fn allows(self, value: &str) -> bool {
        let number = value.parse::<i64>();
        let is = |test: &dyn Fn(i64) -> bool| number.as_ref().is_ok_and(|number| test(*number));
        match self {
            MayBe::Only(wanted) => value == wanted,
            MayBe::AtLeast(least) => is(&|number| number >= least),
            MayBe::AtMost(most) => is(&|number| number <= most),
            MayBe::AtMostPercent(most) => percent(value).is_some_and(|found| found <= most),
            MayBe::UnlimitedOrAtLeast(least) => is(&|number| number == -1 || number >= least),
            MayBe::Unlimited => is(&|number| number == -1),
        }
    }
}

/// `0.3` and `0.30` are 30; only whole hundredths count.
pub fn percent(share: &str) -> Option<i64> {
    let (whole, part) = share.split_once('.').unwrap_or((share, "0"));
    let hundredths: String = part.chars().chain("00".chars()).take(2).collect();
    Some(whole.parse::<i64>().ok()? * 100 + hundredths.parse::<i64>().ok()?)
}

impl fmt::Display for MayBe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MayBe::Only(value) => f.write_str(value),
            MayBe::AtLeast(least) => write!(f, "{least} or more"),
            MayBe::AtMost(most) => write!(f, "{most} or less"),
            MayBe::AtMostPercent(most) => write!(f, "0.{most:02} or less"),
            MayBe::UnlimitedOrAtLeast(least) => write!(f, "-1, or {least} or more"),
            MayBe::Unlimited => f.write_str("-1"),
        }
    }
}
