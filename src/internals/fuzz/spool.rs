//! A spool with arbitrary files in its directory: it starts, sends whole batches and nothing else,
//! and loses nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::Duration,
};

use arbitrary::{Arbitrary, Unstructured};
use tokio::runtime::{Builder, Runtime};

use crate::{
    delivery::spool::{LoadError, Spool},
    settings::SpoolSettings,
    stats::ledger::{Ledger, PointLocation},
};

#[derive(Arbitrary, Debug)]
struct ArbitraryFile {
    /// Whether it is for this target or another one.
    ours: bool,
    /// The process that left it.
    process: Option<u8>,
    name: ArbitraryName,
    content: ArbitraryContent,
}

#[derive(Arbitrary, Debug)]
enum ArbitraryName {
    Batch,
    Temporary,
    Other(u8),
    Lines(u8),
}

#[derive(Arbitrary, Debug)]
enum ArbitraryContent {
    Bytes(Vec<u8>),
    /// A header with arbitrary values and correct checks.
    Sealed {
        fields: ArbitraryHeader,
        lines: Vec<u8>,
    },
    Whole {
        sequence: u64,
        created: u64,
        values: Vec<i64>,
    },
    Changed {
        values: Vec<i64>,
        at: u8,
        bytes: Vec<u8>,
    },
}

#[derive(Arbitrary, Debug)]
struct ArbitraryHeader {
    version: u8,
    sequence: u64,
    created: u64,
    points: u64,
    bytes: u64,
    target: Option<u64>,
    more: Option<String>,
}

/// Opens a spool over any files.
pub fn spool(bytes: &[u8]) {
    let Ok(files) = Vec::<ArbitraryFile>::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let root = tempfile::tempdir().expect("a directory");
    let mut left = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let directory = root.path().join(format!(
            "{:016x}-{}",
            if file.ours { TARGET_HASH } else { 1 },
            file.process.unwrap_or_default() % 3,
        ));
        fs::create_dir_all(&directory).expect("creates");
        let path = directory.join(file.name.text(number));
        fs::write(&path, file.content.bytes()).expect("writes");
        left.push((file, path));
    }
    let mut whole: Vec<Vec<u8>> = left.iter().filter_map(|(file, _)| file.sendable()).collect();

    let ledger = Arc::new(Ledger::default());
    let mut settings = SpoolSettings::new(root.path());
    settings.max_age = Duration::MAX;
    let spool = Arc::new(
        Spool::open(&settings, TARGET, Arc::clone(&ledger)).expect("whatever lies there, it starts"),
    );
    let mut sent = Vec::new();
    RUNTIME.block_on(async {
        spool.recover_first();
        spool.maintain(true).await;
        while let Some(entry) = spool.take_oldest() {
            match spool.load(&entry).await {
                Ok(batch) => {
                    assert_eq!(batch.len(), entry.points());
                    ledger.lock().write(PointLocation::Spool, batch.len());
                    sent.push(batch.bytes().to_vec());
                    spool.acknowledge(entry).await;
                }
                Err(LoadError::Lost) => {}
                Err(LoadError::Io(error)) => panic!("{error}"),
            }
        }
    });
    whole.sort();
    sent.sort();
    assert_eq!(sent, whole);

    let counts = ledger.lock().clone();
    let dropped: u64 = counts.dropped.values().sum();
    assert_eq!((counts.recovered, counts.spooled), (counts.written + dropped, 0));
    let damaged = left.iter().filter(|(file, _)| file.is_damaged()).count() as u64;
    let counts = spool.counts();
    assert_eq!((counts.files, counts.corrupt, counts.errors), (0, damaged, 0));
    let kept = files_below(root.path());
    for (file, path) in left.iter().filter(|(file, _)| file.sendable().is_none() && !file.is_temporary()) {
        let content = file.content.bytes();
        assert!(
            kept.iter().any(|kept| fs::read(kept).is_ok_and(|kept| kept == content)),
            "{} is lost",
            path.display()
        );
    }
}

impl ArbitraryFile {
    /// Returns the lines if they are whole and for our target.
    fn sendable(&self) -> Option<Vec<u8>> {
        let ours = self.ours && matches!(self.name, ArbitraryName::Batch | ArbitraryName::Lines(_));
        if ours { whole(&self.content.bytes()) } else { None }
    }

    fn is_damaged(&self) -> bool {
        let content = self.content.bytes();
        self.ours
            && matches!(self.name, ArbitraryName::Batch)
            && whole(&content).is_none()
            && !is_somebody_elses(&content)
    }

    fn is_temporary(&self) -> bool {
        self.ours && matches!(self.name, ArbitraryName::Temporary)
    }
}

impl ArbitraryName {
    fn text(&self, number: usize) -> String {
        let batch = format!("batch-20260603T101112Z-7f3a9c21-{number:06}.lp");
        match self {
            Self::Batch => batch,
            Self::Temporary => batch + ".new",
            Self::Other(kind) => format!("{number}{}", ["", ".new", ".txt", ".lp.gz"][usize::from(kind % 4)]),
            Self::Lines(kind) => {
                format!("{}{number}.lp", ["batch-", "own", "batch-20260603T101112Z-"][usize::from(kind % 3)])
            }
        }
    }
}

impl ArbitraryContent {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Sealed { fields, lines } => {
                let ArbitraryHeader { version, sequence, created, points, bytes, target, more } = fields;
                let target = target.unwrap_or(TARGET_HASH);
                let more = more.as_ref().map(|more| format!(" {more}")).unwrap_or_default();
                let check = crc32fast::hash(lines);
                let text = format!(
                    "{MAGIC}{version} sequence={sequence} created={created} points={points} bytes={bytes} \
                     target={target:016x} lines={check:08x}{more}"
                );
                sealed(&text, lines)
            }
            Self::Whole { sequence, created, values } => file(*sequence, *created, values),
            Self::Changed { values, at, bytes } => {
                let mut file = file(1, 1, values);
                let at = usize::from(*at).min(file.len());
                let end = (at + bytes.len()).min(file.len());
                file.splice(at..end, bytes.iter().copied());
                file
            }
        }
    }
}

fn file(sequence: u64, created: u64, values: &[i64]) -> Vec<u8> {
    let mut lines: String =
        values.iter().enumerate().map(|(time, value)| format!("m v={value}i {time}\n")).collect();
    if lines.is_empty() {
        lines = "m v=0i 0\n".to_owned();
    }
    let (points, bytes, check) =
        (lines.matches('\n').count(), lines.len(), crc32fast::hash(lines.as_bytes()));
    let text = format!(
        "{MAGIC}1 sequence={sequence} created={created} points={points} bytes={bytes} target={TARGET_HASH:016x} \
         lines={check:08x}"
    );
    sealed(&text, lines.as_bytes())
}

fn sealed(text: &str, lines: &[u8]) -> Vec<u8> {
    let check = crc32fast::hash(text.as_bytes());
    [format!("{text} check={check:08x}\n").as_bytes(), lines].concat()
}

/// Returns the lines of a file that has this crate's format and our target. It is written only from
/// the description of the format.
fn whole(file: &[u8]) -> Option<Vec<u8>> {
    let (header, lines) = split(file)?;
    let fields: Vec<&str> = header.strip_prefix(MAGIC)?.strip_prefix("1 ")?.split(' ').collect();
    let [sequence, created, points, bytes, target, check, _] = fields[..] else { return None };
    let number = |field: &str, name: &str| field.strip_prefix(name)?.parse::<u64>().ok();
    let (sequence, created) = (number(sequence, "sequence=")?, number(created, "created=")?);
    let count = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
    let right = number(points, "points=")? == count
        && number(bytes, "bytes=")? == lines.len() as u64
        && target == format!("target={TARGET_HASH:016x}")
        && check == format!("lines={:08x}", crc32fast::hash(lines));
    let written = format!(
        "{MAGIC}1 sequence={sequence} created={created} points={count} bytes={} target={TARGET_HASH:016x} lines={:08x}",
        lines.len(),
        crc32fast::hash(lines)
    );
    (right && lines.ends_with(b"\n") && sealed(&written, lines) == file).then(|| lines.to_vec())
}

/// Returns whether the file is for another target or of a newer version, so that it is not ours to
/// judge.
fn is_somebody_elses(file: &[u8]) -> bool {
    let checked = split(file).and_then(|(header, _)| {
        let (text, check) = header.rsplit_once(" check=")?;
        (check == format!("{:08x}", crc32fast::hash(text.as_bytes()))).then_some(text)
    });
    let Some(text) = checked else { return false };
    let Some(rest) = text.strip_prefix(MAGIC) else { return false };
    let (version, fields) = rest.split_once(' ').unwrap_or((rest, ""));
    if version.parse::<u32>().is_ok_and(|version| version > 1) {
        return true;
    }
    // A header that is canonical except for its target.
    let fields: Vec<&str> = fields.split(' ').collect();
    let [sequence, created, points, bytes, target, lines] = fields[..] else { return false };
    let canonical = |field: &str, name: &str| {
        let Some(digits) = field.strip_prefix(name) else { return false };
        digits.parse::<u64>().is_ok_and(|number| number.to_string() == digits)
    };
    let hexadecimal = |field: &str, name: &str, width: usize| {
        let Some(digits) = field.strip_prefix(name) else { return false };
        digits.len() == width && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    version == "1"
        && canonical(sequence, "sequence=")
        && canonical(created, "created=")
        && canonical(points, "points=")
        && points != "points=0"
        && canonical(bytes, "bytes=")
        && hexadecimal(target, "target=", 16)
        && target != format!("target={TARGET_HASH:016x}")
        && hexadecimal(lines, "lines=", 8)
}

/// Returns the first line, which has at most 512 bytes including its line break, and the rest.
fn split(file: &[u8]) -> Option<(&str, &[u8])> {
    let end = file.iter().take(512).position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&file[..end]).ok()?, &file[end + 1..]))
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("reads") {
        let path = entry.expect("reads").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));

const TARGET: &str = "http://localhost:8086 luna requests";
/// FNV-1a of the target.
const TARGET_HASH: u64 = 0x1eb5_80c4_47c2_53b0;
const MAGIC: &str = "# tower-influx spool version=";
