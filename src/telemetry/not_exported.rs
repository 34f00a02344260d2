//! What operators of such engines look for and do not find here, and why: a part of
//! `docs/metrics.md`.

/// (what is looked for, why it is not there).
pub const NOT_EXPORTED: &[(&str, &str)] = &[
    (
        "time in which no input was taken",
        "input is taken only when the last commit is done, so a full queue or a slow store lengthens \
         `meterfold_step_seconds` and nothing else",
    ),
    (
        "batches without a commit",
        "a worker commits only what has changed",
    ),
    (
        "offset of the store, commits that it lacks",
        "store and log are compared by commit, at the start: a partition that runs lacks none, and one \
         that lacked some is in `meterfold_restores_total{result=\"tail\"}`",
    ),
    (
        "age of events",
        "`meterfold_event_lateness_seconds` goes by the partition's clock, which bills go by; producers \
         that are ahead show as dead letters with `time_in_future`",
    ),
    (
        "epoch of a producer, members of the group",
        "each worker has a producer of its own, and no label names workers; members are in \
         `kafka-consumer-groups.sh --describe --members`, joined workers in `meterfold_workers_joined`",
    ),
    (
        "latency, cache hits, bytes written and stalled seconds of the store",
        "RocksDB counts latency and hits only with its statistics switched on, which every read would pay \
         for, and tells the rest in text for people; `meterfold_step_seconds{step=\"apply\"}` and \
         `meterfold_store_write_stalled` show a slow store",
    ),
    (
        "teams in the store",
        "nothing counts them: they would be read through for it; `meterfold_store_keys` grows with them",
    ),
    (
        "pinned bytes of the block cache",
        "what is pinned are filters and indexes of level 0, which are small; they are in \
         `meterfold_store_block_cache_bytes`",
    ),
    (
        "open files, iterators and snapshots of the store",
        "files are in `process_open_fds`; iterators and snapshots live within one call",
    ),
    (
        "state digest as a label",
        "it is in `/status`; a label that changes with every commit is a new series each time",
    ),
    (
        "units, tokens, money, teams by funding, open months",
        "amounts are exact in derived events and in `meterfold explain`, and metrics are floating-point \
         numbers that forget at a restart; invoices are \
         `meterfold_derived_events_total{kind=\"monthly-invoice\"}`",
    ),
    (
        "teams that wait for the close of a month",
        "the clock of a partition passes the grace when the month is closed for all its teams: \
         `meterfold_clock_timestamp_seconds` against that time is what MeterfoldMonthCloseLate does",
    ),
    (
        "usage after the close",
        "it is charged in an open month like any other usage; what has nothing to be charged to is \
         the disposition `late_free`",
    ),
    (
        "rate cards in force",
        "the book in force is a fact of each partition's journal; `meterfold inspect` and `meterfold explain` name it",
    ),
    (
        "allocator and async runtime",
        "workers are threads without a runtime; memory is `process_resident_memory_bytes`",
    ),
    (
        "expiry of certificates, reloads of credentials",
        "the TLS library reads them, and who issues them knows when they end (cert-manager: \
         `certmanager_certificate_expiration_timestamp_seconds`); a refusal is \
         `meterfold_auth_failed_timestamp_seconds`",
    ),
    (
        "audits and replays",
        "they are commands that end: the exit code says what they found, and in Kubernetes \
         `kube_job_failed` does",
    ),
];
