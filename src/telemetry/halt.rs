//! The halts of a partition (`engine.md` 5): a code that metrics, logs and runbooks share, and the
//! remedy that `/status` shows beside it.

use super::labels::names;

names! {
    /// Why a partition stopped rather than guess.
    Halt {
        StateAhead = "STATE_AHEAD",
        OffsetsForeign = "OFFSETS_FOREIGN",
        OffsetsMissing = "OFFSETS_MISSING",
        ChangelogMissing = "CHANGELOG_MISSING",
        StateDigest = "STATE_DIGEST",
        RetentionPassedUs = "RETENTION_PASSED_US",
        LogTruncated = "LOG_TRUNCATED",
        TopicReplaced = "TOPIC_REPLACED",
        PartitionsChanged = "PARTITIONS_CHANGED",
        VersionNewer = "VERSION_NEWER",
        TimestampType = "TIMESTAMP_TYPE",
        WrongPartition = "WRONG_PARTITION",
        BookTooLate = "BOOK_TOO_LATE",
        ClockJump = "CLOCK_JUMP",
        InvariantBroken = "INVARIANT_BROKEN",
    }
}

impl Halt {
    /// What to do about it, in a sentence.
    pub const fn remedy(self) -> &'static str {
        match self {
            Halt::StateAhead => {
                "the state is ahead of the group's offsets: if they were reset, stop the group and \
                 run `meterfold recover --offsets-from-meta`; if this is another cluster, fix the \
                 configuration"
            }
            Halt::OffsetsForeign => {
                "the group's offsets were not committed by this application: find out who did, stop \
                 the group and run `meterfold recover --offsets-from-meta`"
            }
            Halt::OffsetsMissing => {
                "the group has no offsets although there is state: if they expired or were deleted, \
                 stop the group and run `meterfold recover --offsets-from-meta`"
            }
            Halt::ChangelogMissing => {
                "the changelog lacks the commit that the group's offsets name: restore the topic, or \
                 run from the state directory of the instance that committed it"
            }
            Halt::StateDigest => {
                "the restored state differs from its digest: look for a foreign writer on the \
                 changelog, keep the quarantined directory and run `meterfold audit`"
            }
            Halt::RetentionPassedUs => {
                "records were deleted before they were folded: put them back from an archive, or \
                 stop the group and run `meterfold recover --accept-gap`; months with an accepted \
                 gap are not proven"
            }
            Halt::LogTruncated => {
                "the input is shorter than what was folded of it: bring the lost records back, or \
                 stop the group and run `meterfold recover --accept-gap`"
            }
            Halt::TopicReplaced => {
                "a topic was deleted and made anew: restore the old one, or begin under a new \
                 application name"
            }
            Halt::PartitionsChanged => {
                "the number of partitions changed, which moves teams: restore the old topic, or \
                 begin under a new application name"
            }
            Halt::VersionNewer => {
                "a newer version of the program folded this partition: run that version"
            }
            Halt::TimestampType => {
                "the input has records with the producer's time: set \
                 message.timestamp.type=LogAppendTime on the topic"
            }
            Halt::WrongPartition => {
                "a producer partitions by something else than murmur2 of the team: mend it, then set \
                 on_wrong_partition=\"dead_letter\" to get past its records"
            }
            Halt::BookTooLate => {
                "the new rate card took effect before this partition adopted it: stop the group and \
                 run `meterfold recover --accept-book`"
            }
            Halt::ClockJump => {
                "a record's time is far ahead of the clock: if it is right, stop the group and run \
                 `meterfold recover --accept-clock`"
            }
            Halt::InvariantBroken => {
                "a balance does not add up, which is a fault of the program: keep the state \
                 directory and the log, and report it"
            }
        }
    }
}
