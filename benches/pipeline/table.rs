//! What is printed: Markdown, row by row as the figures come.

use std::fs;
use std::io::{Write as _, stdout};

use crate::sizes::Sizes;

pub struct Table {
    columns: usize,
}

/// What was measured where.
pub fn head(sizes: &Sizes) {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1));
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    println!(
        "# Pipeline\n\n{processors} processors ({}), broker and clients on them together; {} calls, \
         {} workers; load of the machine before: {load}.\n",
        model.unwrap_or("unknown"),
        sizes.records,
        sizes.workers,
    );
}

impl Table {
    /// Prints the head.
    pub fn of(columns: &[&str]) -> Table {
        print_cells(columns);
        print_cells(&vec!["---"; columns.len()]);
        Table {
            columns: columns.len(),
        }
    }

    pub fn row(&self, cells: &[String]) {
        assert_eq!(cells.len(), self.columns);
        print_cells(cells);
    }
}

pub fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

fn print_cells(cells: &[impl AsRef<str>]) {
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    println!("| {} |", cells.join(" | "));
    // A row may be minutes before the next.
    let _ = stdout().flush();
}
