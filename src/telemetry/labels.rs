//! What the labels of metrics may say: closed lists, so that every series is known when the process
//! starts and none is made by what a user sends (`operations.md` 3.1).

/// A closed list of names: an enum, its variants in order, and how each is written.
macro_rules! names {
    ($($(#[$about:meta])* $type:ident { $($variant:ident = $name:literal,)* })*) => {$(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $type { $($variant),* }

        impl $type {
            pub const ALL: &'static [$type] = &[$($type::$variant),*];
            /// As [`Self::ALL`], written.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            pub const fn name(self) -> &'static str {
                match self { $($type::$variant => $name),* }
            }
        }
    )*};
}
pub(super) use names;

names! {
    /// A step of the commit protocol (`engine.md` 3), or of what surrounds it: what comes before the
    /// first commit stands last.
    Step {
        Decode = "decode",
        Fold = "fold",
        Produce = "produce",
        Offsets = "offsets",
        Commit = "commit",
        Apply = "apply",
        Join = "join",
        Restore = "restore",
    }
    /// What an error asks for.
    ErrorClass {
        Retriable = "retriable",
        Abortable = "abortable",
        Fatal = "fatal",
        Fenced = "fenced",
        Auth = "auth",
        Data = "data",
    }
    /// How a batch ended.
    BatchResult {
        Committed = "committed",
        Aborted = "aborted",
    }
    /// How a transaction ended.
    TransactionResult {
        Committed = "committed",
        Aborted = "aborted",
        Fenced = "fenced",
        TimedOut = "timed_out",
    }
    /// Why a broker took this instance for an older one: by the epoch of its producer, by its static
    /// membership, or by the group's generation.
    FencedBy {
        Producer = "producer",
        Member = "member",
        Generation = "generation",
    }
    /// What a rebalance was, as this worker saw it: partitions came, it left to join again, partitions
    /// went without a last commit, partitions went after one.
    Rebalance {
        Join = "join",
        Leave = "leave",
        Lost = "lost",
        Revoked = "revoked",
    }
    /// How a restore of a partition ended.
    RestoreResult {
        Warm = "warm",
        Tail = "tail",
        Full = "full",
        Failed = "failed",
    }
    /// What a check of a state digest found.
    DigestCheck {
        Equal = "equal",
        Different = "different",
    }
    /// What the schema registry answered.
    SchemaFetch {
        Found = "found",
        Unknown = "unknown",
        Failed = "failed",
    }
    /// Why a log line was not written.
    LineLost {
        QueueFull = "queue_full",
        RateLimited = "rate_limited",
    }
    /// What the process as a whole is doing; follows from its workers and partitions.
    ProcessState {
        Starting = "starting",
        WaitingForKafka = "waiting_for_kafka",
        Restoring = "restoring",
        Running = "running",
        Draining = "draining",
        Halted = "halted",
        Fenced = "fenced",
    }
}

/// Steps that are timed: those of a commit.
pub const TIMED_STEPS: &[&str] = Step::NAMES.split_at(Step::Apply as usize + 1).0;

/// Reasons of dead letters: those of the fold, and those that only Kafka knows (`interfaces.md` 5).
pub const DEAD_LETTER_REASONS: &[&str] = &[
    "malformed",
    "unknown_type",
    "time_in_future",
    "no_rate_card",
    "too_old",
    "negative_quantity",
    "quantity_too_large",
    "tick_not_allowed",
    "wrong_key",
    "wrong_partition",
    "wrong_topic",
    "too_large",
];

/// The disposition of a record that no event was read from.
pub const DEAD_LETTER: &str = "dead_letter";

/// Levels of log lines.
pub const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];

/// Paths that the HTTP server answers; all else is `other`.
pub const HTTP_PATHS: &[&str] = &[
    "/metrics",
    "/livez",
    "/readyz",
    "/startupz",
    "/status",
    "/openapi.json",
    "/v1/teams/{team}",
    "/v1/teams/{team}/months",
    "/v1/teams/{team}/invoices",
    "/v1/teams/{team}/access",
    "/teams/{team}",
    "other",
];

/// Eight at most (`operations.md` 3.1): those that an operator acts on. All else is `other`.
pub const HTTP_CODES: &[&str] = &["200", "400", "401", "404", "421", "500", "503", "other"];
