//! What the kernel says of this process, from `/proc`; nothing where there is none.

use std::fs;

pub struct Resources {
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    pub open_fds: usize,
    pub max_fds: u64,
    pub start_unix_seconds: f64,
}

/// Ticks of a second in `/proc/self/stat`: part of the kernel's interface on every machine we
/// build for.
const TICKS_PER_SECOND: f64 = 100.0;

pub fn read() -> Option<Resources> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may hold anything. Behind it stands field 3.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    let booted_unix_seconds = value("/proc/stat", "btime ")?;
    let resident_kib = value("/proc/self/status", "VmRSS:")?;
    Some(Resources {
        cpu_seconds: (ticks(14)? + ticks(15)?) / TICKS_PER_SECOND,
        resident_bytes: resident_kib * 1_024,
        open_fds: fs::read_dir("/proc/self/fd").ok()?.count(),
        max_fds: value("/proc/self/limits", "Max open files")?,
        start_unix_seconds: booted_unix_seconds as f64 + ticks(22)? / TICKS_PER_SECOND,
    })
}

/// The first number of the line that begins with `name`.
fn value(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_this_process() {
        let resources = read().expect("there is a /proc");
        assert!(resources.cpu_seconds >= 0.0);
        assert!(resources.resident_bytes > 1 << 20);
        assert!(resources.open_fds >= 3);
        assert!(resources.max_fds >= resources.open_fds as u64);
        assert!(resources.start_unix_seconds > 1_600_000_000.0);
    }
}
