//! Where generated lines go: standard output or a file, packed or as Avro by the file's name.
//!
//! A file that exists is never replaced unasked, and one that could not be completed is removed.
//! The bytes depend on nothing but the lines and the seed: packed files carry no name and no time.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::name::Printer;
use super::random::hash;
use super::stream::Line;
use crate::billing::time::Instant;
use crate::cli::failure::Failure;
use crate::cli::streams;
use crate::files::avro_container::{Codec, ContainerWriter};
use crate::wire::{avro, event_json};

const BUFFER_BYTES: usize = 256 << 10;
const ZSTD_LEVEL: i32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Ndjson,
    Gzip,
    Zstd,
    Avro,
}

pub enum Target {
    Stdout,
    File { path: PathBuf, replace: bool },
}

impl Format {
    /// By the end of a file's name, as inputs are opened.
    pub fn of_file(path: &Path) -> Option<Format> {
        let name = path.file_name()?.to_str()?;
        let is_lines = |stem: &str| stem.ends_with(".ndjson") || stem.ends_with(".jsonl");
        match name.rsplit_once('.')? {
            (stem, "gz") => is_lines(stem).then_some(Format::Gzip),
            (stem, "zst") => is_lines(stem).then_some(Format::Zstd),
            (_, "avro") => Some(Format::Avro),
            _ => is_lines(name).then_some(Format::Ndjson),
        }
    }
}

/// Writes all lines. A reader of standard output that has seen enough is no failure.
pub fn write(
    lines: impl Iterator<Item = Line>,
    target: &Target,
    format: Format,
    seed: u64,
) -> Result<(), Failure> {
    match target {
        Target::Stdout => streams::written(encode(lines, io::stdout(), format, seed)),
        Target::File { path, replace } => {
            let file = create(path, *replace)?;
            encode(lines, file, format, seed).map_err(|error| {
                remove_incomplete(path);
                let path = path.display();
                Failure::failed(format!(
                    "{path}: cannot be written: {error}; make room and run again"
                ))
            })
        }
    }
}

fn create(path: &Path, replace: bool) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.write(true);
    if replace {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(path).map_err(|error| {
        let shown = path.display();
        Failure::usage(match error.kind() {
            ErrorKind::AlreadyExists => {
                format!("--out {shown}: exists already; name another file or add --force to replace it")
            }
            _ => format!("--out {shown}: cannot be created: {error}; name a file in a directory you can write to"),
        })
    })
}

/// Devices and pipes stay. The failure that led here is reported, not one of the removal.
fn remove_incomplete(path: &Path) {
    if path.metadata().is_ok_and(|metadata| metadata.is_file()) {
        let _ = std::fs::remove_file(path);
    }
}

fn encode(
    lines: impl Iterator<Item = Line>,
    output: impl Write,
    format: Format,
    seed: u64,
) -> io::Result<()> {
    let output = BufWriter::with_capacity(BUFFER_BYTES, output);
    match format {
        Format::Ndjson => write_lines(lines, output)?.flush(),
        Format::Gzip => write_lines(lines, GzEncoder::new(output, Compression::default()))?
            .finish()?
            .flush(),
        Format::Zstd => write_lines(lines, zstd::Encoder::new(output, ZSTD_LEVEL)?)?
            .finish()?
            .flush(),
        Format::Avro => write_container(lines, output, seed),
    }
}

fn write_lines<W: Write>(lines: impl Iterator<Item = Line>, mut output: W) -> io::Result<W> {
    let mut printer = Printer::default();
    let mut text = Vec::new();
    for line in lines {
        text.clear();
        printer.print(&line.event, |event| {
            event_json::write(event, recorded(&line), &mut text)
        });
        if let Some(damage) = line.damage {
            damage.break_text(&mut text);
        }
        text.push(b'\n');
        output.write_all(&text)?;
    }
    Ok(output)
}

fn write_container(
    lines: impl Iterator<Item = Line>,
    output: impl Write,
    seed: u64,
) -> io::Result<()> {
    let sync = (u128::from(hash(seed, 0)) << 64 | u128::from(hash(seed, 1))).to_be_bytes();
    let schema = avro::input_union_schema();
    // Every Avro implementation has this codec.
    let mut container = ContainerWriter::create(output, &schema, Codec::Deflate, sync)?;
    let mut printer = Printer::default();
    let mut datum = Vec::new();
    for line in lines {
        datum.clear();
        printer.print(&line.event, |event| {
            avro::encode_branch(event, recorded(&line), &mut datum)
        });
        container.append(&datum)?;
    }
    container.finish()?.flush()
}

/// Written only where it says more than the event's time.
fn recorded(line: &Line) -> Option<Instant> {
    (line.recorded != line.event.time).then_some(line.recorded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_tells_its_format() {
        for (name, format) in [
            ("out/a.ndjson", Some(Format::Ndjson)),
            ("a.jsonl", Some(Format::Ndjson)),
            ("a.b.ndjson.gz", Some(Format::Gzip)),
            ("a.jsonl.zst", Some(Format::Zstd)),
            ("a.avro", Some(Format::Avro)),
            ("a.avro.gz", None),
            ("a.gz", None),
            ("a.json", None),
            ("ndjson", None),
            ("..", None),
        ] {
            assert_eq!(Format::of_file(Path::new(name)), format, "{name}");
        }
    }
}
