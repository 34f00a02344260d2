//! Memory that teams may take; `docs/operate.md` adds up what a process may.

/// Of teams, over all workers.
pub const DECODED_BYTES: usize = 512 << 20;
pub const ENCODED_BYTES: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::client::{PREFETCH_KBYTES, PREFETCH_KBYTES_OF_PARTITION};
    use crate::kafka::input::UNDECODED_BYTES_MAX;
    use crate::store::rocks::{SHARED_CACHE_BYTES, SHARED_MEMTABLES_BYTES};
    use rdkafka::ClientConfig;

    const MIB: usize = 1 << 20;
    const MB: usize = 1_000_000;
    /// Measured: `make sizes`.
    const AT_REST_BYTES: usize = 70 * MB;

    fn read(path: &str) -> String {
        let project = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(project.join(path)).unwrap()
    }

    fn batch_bytes() -> usize {
        let client = ClientConfig::new().create_native_config().unwrap();
        let bytes = client.get("receive.message.max.bytes").unwrap();
        bytes.trim_end_matches('\0').parse().unwrap()
    }

    #[test]
    fn documents_and_chart_go_by_what_the_program_takes() {
        let prefetch = PREFETCH_KBYTES as usize >> 10;
        let prefetch_of_partition = PREFETCH_KBYTES_OF_PARTITION.0 as usize >> 10;
        let teams = DECODED_BYTES + ENCODED_BYTES;
        let store = SHARED_CACHE_BYTES + SHARED_MEMTABLES_BYTES;
        let rows = [
            (
                "program, clients, threads",
                format!("{} MB", AT_REST_BYTES / MB),
            ),
            (
                "teams that are folded at present, decoded and encoded",
                format!("up to {} MiB, over all workers", teams / MIB),
            ),
            (
                "RocksDB: blocks and what is not written out yet",
                format!("{} MiB", store / MIB),
            ),
            (
                "prefetched records",
                format!(
                    "{prefetch} MiB a worker, or {prefetch_of_partition} MiB an input of each \
                     partition that it owns where that is more"
                ),
            ),
            (
                "records that wait to be decoded",
                format!(
                    "{} MiB an input of each partition",
                    UNDECODED_BYTES_MAX / MIB
                ),
            ),
            (
                "the largest batch, unpacked",
                format!(
                    "`receive.message.max.bytes`, {} MB, a worker",
                    batch_bytes() / MB
                ),
            ),
        ];
        let document = read("docs/operate.md");
        for (part, bytes) in rows {
            let row = format!("| {part} | {bytes} |");
            assert!(document.lines().any(|line| line == row), "no line is {row}");
        }

        // Its example: one worker, four partitions of two inputs, 2 to 8 bytes an id.
        let records = prefetch * MIB + 8 * UNDECODED_BYTES_MAX;
        let sum = AT_REST_BYTES + teams + store + records + batch_bytes();
        let tenths_of_gb = |id_bytes: usize| (sum + id_bytes * 100 * MB + 50 * MB) / (100 * MB);
        let (least, most) = (tenths_of_gb(2), tenths_of_gb(8));
        let example = format!(
            "wants {}.{} to {}.{} GB",
            least / 10,
            least % 10,
            most / 10,
            most % 10
        );
        assert!(document.contains(&example), "it is not said: {example}");

        let chart = read("helm/templates/_refuse.tpl");
        let (_, least) = chart.split_once("give at least ").unwrap();
        let (mib, _) = least.split_once("Mi").unwrap();
        let least = mib.parse::<usize>().unwrap() * MIB;
        assert!(chart.contains(&format!("$limit)) {} -", least >> 10)));
        assert!(least >= sum, "{least} bytes are less than {sum}");

        let parts = [
            format!("add {AT_REST_BYTES} {} -", teams + store),
            format!("(mul {} $workers)", prefetch * MIB),
            format!("(mul {} $inputs)", prefetch_of_partition * MIB),
            format!("mul {UNDECODED_BYTES_MAX} $inputs -"),
            format!("\"receive.message.max.bytes\" {} ", batch_bytes()),
        ];
        let missing: Vec<&String> = parts.iter().filter(|part| !chart.contains(*part)).collect();
        assert!(missing.is_empty(), "the chart does not count {missing:?}");
    }
}
