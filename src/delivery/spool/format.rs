//! One file of the spool: its name, its first line, and the check that its content is what was
//! written.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use super::clock::SpoolTime;
use crate::{delivery::batch::Batch, fs_ext, work::looked_at};

/// The first line of a file, which describes the lines after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    sequence: u64,
    /// Nanoseconds since the epoch.
    pub(super) created: u64,
    pub(super) points: usize,
    /// Length of the lines, without the header.
    pub(super) bytes: u64,
    target: u64,
    /// CRC-32 of the lines.
    checksum: u32,
}

/// The result of inspecting a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Batch(Header),
    OtherTarget,
    NewerVersion,
    /// The content is not what was written; the text says why.
    Damaged(&'static str),
}

impl Header {
    pub(super) fn new(batch: &Batch, target: u64) -> Self {
        let created = batch.created().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            sequence: batch.sequence(),
            created: u64::try_from(created.as_nanos()).unwrap_or(u64::MAX),
            points: batch.len(),
            bytes: batch.bytes().len() as u64,
            target,
            checksum: crc32fast::hash(batch.bytes()),
        }
    }

    pub(super) fn encode(&self) -> String {
        let Self { sequence, created, points, bytes, target, checksum } = self;
        let text = format!(
            "{MAGIC}{VERSION} sequence={sequence} created={created} points={points} bytes={bytes} \
             target={target:016x} lines={checksum:08x}"
        );
        let check = crc32fast::hash(text.as_bytes());
        format!("{text}{CHECK}{check:08x}\n")
    }

    /// Returns when the batch was created by the system's clock of that time.
    pub(super) fn created(&self) -> SystemTime {
        time(self.created)
    }

    /// Returns the length of the whole file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.bytes.saturating_add(self.encode().len() as u64)
    }

    /// Rebuilds the batch if the lines match the header.
    pub(super) fn batch(&self, lines: Vec<u8>) -> Option<Batch> {
        looked_at(2 * lines.len());
        let whole = crc32fast::hash(&lines) == self.checksum
            && lines.last() == Some(&b'\n')
            && lines.iter().filter(|byte| **byte == b'\n').count() == self.points;
        whole.then(|| Batch::new(Bytes::from(lines), self.points, self.sequence, self.created()))
    }

    /// Parses a header. `line` has no line break, and its check was already verified.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.strip_prefix(MAGIC)?.split(' ').skip(1);
        let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=');
        let header = Self {
            sequence: field("sequence")?.parse().ok()?,
            created: field("created")?.parse().ok()?,
            points: field("points")?.parse().ok()?,
            bytes: field("bytes")?.parse().ok()?,
            target: u64::from_str_radix(field("target")?, 16).ok()?,
            checksum: u32::from_str_radix(field("lines")?, 16).ok()?,
        };
        // Other spellings, such as a sign or a leading zero, were not written by this crate.
        let written = header.encode();
        (written.trim_end() == line && header.points > 0).then_some(header)
    }
}

/// Reads the header and compares the length, but not the lines. Leaves the file positioned at the
/// first line.
pub(super) fn read_header(path: &Path, target: u64) -> io::Result<(Found, File)> {
    #[cfg(test)]
    fs_ext::faults::check(fs_ext::faults::Operation::Read, path)?;
    // Opening a pipe would block until something writes to it.
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file"));
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut start = Vec::with_capacity(MAX_HEADER);
    (&file).take(MAX_HEADER as u64).read_to_end(&mut start)?;
    let found = judge(&start, length, target);
    if let Found::Batch(header) = &found {
        let first_line = header.file_bytes() - header.bytes;
        io::Seek::seek(&mut &file, io::SeekFrom::Start(first_line))?;
    }
    Ok((found, file))
}

/// Reads the lines of a file whose header was read.
pub(super) fn read_lines(file: &File, header: &Header) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    let length = usize::try_from(header.bytes).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    // A true length that exceeds the memory must not abort the process.
    lines.try_reserve_exact(length).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    file.take(header.bytes).read_to_end(&mut lines)?;
    Ok(lines)
}

fn judge(start: &[u8], length: u64, target: u64) -> Found {
    looked_at(start.len());
    let Some(line) = start.iter().position(|byte| *byte == b'\n').and_then(|end| start.get(..end)) else {
        return Found::Damaged("it has no first line");
    };
    let Ok(line) = std::str::from_utf8(line) else { return Found::Damaged("its first line is not text") };
    // Magic, version and check have the same place in every version, so a newer version is
    // distinguished from damage.
    let Some((text, check)) = line.rsplit_once(CHECK) else {
        return Found::Damaged("its first line has no check");
    };
    if format!("{:08x}", crc32fast::hash(text.as_bytes())) != check {
        return Found::Damaged("the check of its first line is wrong");
    }
    let version = text.strip_prefix(MAGIC).and_then(|rest| rest.split(' ').next());
    match version.and_then(|version| version.parse::<u32>().ok()) {
        Some(version) if version > VERSION => return Found::NewerVersion,
        Some(VERSION) => {}
        _ => return Found::Damaged("its first line is not of a spool"),
    }
    match Header::parse(line) {
        None => Found::Damaged("its first line cannot be read"),
        Some(header) if header.target != target => Found::OtherTarget,
        Some(header) if header.file_bytes() != length => Found::Damaged("its length is wrong"),
        // Sums of larger numbers would overflow, and the header is summed before any line is read.
        // Each point takes a line break, so there are at most as many points as bytes.
        Some(header) if header.bytes > MAX_BYTES => Found::Damaged("it is longer than any batch"),
        Some(header) if header.points as u64 > header.bytes => {
            Found::Damaged("its first line counts more points than there are bytes")
        }
        Some(header) => Found::Batch(header),
    }
}

/// Hashes a target. Two targets with the same hash would send points to the wrong database, so it
/// has 64 bits. The function must never change.
pub(super) fn hash(target: &str) -> u64 {
    // FNV-1a.
    target
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Returns the name of a file. `created` is in nanoseconds since the epoch, `born` the same moment
/// by the clock of the spool. `run` is a random number of the process. It keeps names distinct even
/// if two processes wrote to one directory despite the lock.
pub(super) fn name(created: u64, run: u32, number: u64, born: SpoolTime) -> String {
    format!("batch-{}-{run:08x}-{number:06}-{born:013}.lp", fs_ext::stamp(time(created)))
}

/// The parts of a file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileName {
    pub(super) run: u32,
    pub(super) number: u64,
    /// `None` in names of version 0.1.
    pub(super) born: Option<SpoolTime>,
}

impl FileName {
    /// Parses a name that [`name`] returned.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix("batch-")?.strip_suffix(".lp")?.split('-');
        parts.next().filter(|stamp| fs_ext::is_stamp(stamp))?;
        let run =
            parts.next().filter(|run| run.len() == 8 && run.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        let mut digits = |least| {
            let part: Option<&str> = parts.next();
            part.map(|part| {
                let right = part.len() >= least && part.bytes().all(|byte| byte.is_ascii_digit());
                if right { part.parse::<u64>().ok() } else { None }
            })
        };
        let number = digits(6)??;
        let born = digits(13).map_or(Some(None), |born| born.map(Some))?;
        let run = u32::from_str_radix(run, 16).ok()?;
        parts.next().is_none().then_some(Self { run, number, born })
    }
}

fn time(nanoseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanoseconds)
}

/// Returns whether this is the name of an unfinished file.
pub(super) fn is_temporary(name: &str) -> bool {
    name.strip_suffix(TEMPORARY).and_then(FileName::parse).is_some()
}

const MAGIC: &str = "# tower-influx spool version=";
const VERSION: u32 = 1;
const CHECK: &str = " check=";
/// The maximum length of a header of any version.
const MAX_HEADER: usize = 512;
/// The maximum length of a batch's lines. The sum of 10 million such files does not overflow.
const MAX_BYTES: u64 = 1 << 40;
pub(super) const TEMPORARY: &str = ".new";

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let batch = Batch::new(Bytes::from_static(b"a v=1 1\n"), 1, 7, UNIX_EPOCH + Duration::from_nanos(5));
        Header::new(&batch, 9)
    }

    #[test]
    fn the_header_is_stable() {
        let text = "# tower-influx spool version=1 sequence=7 created=5 points=1 bytes=8 \
                    target=0000000000000009 lines=6446e3b3 check=76298d58\n";
        assert_eq!(header().encode(), text);
        assert_eq!(hash("http://localhost:8086 luna requests"), 0x1eb5_80c4_47c2_53b0);
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
    }

    #[test]
    fn only_a_header_as_it_was_written_is_parsed() {
        let length = header().file_bytes();
        let judged = |text: &str| judge(text.as_bytes(), length, 9);
        assert_eq!(judged(&header().encode()), Found::Batch(header()));
        assert_eq!(judge(header().encode().as_bytes(), length, 8), Found::OtherTarget);
        assert_eq!(judge(header().encode().as_bytes(), length + 1, 9), Found::Damaged("its length is wrong"));

        let sealed = |text: String| format!("{text}{CHECK}{:08x}\n", crc32fast::hash(text.as_bytes()));
        assert_eq!(judged(&sealed(format!("{MAGIC}2 anything else"))), Found::NewerVersion);
        for bad in [
            format!("{MAGIC}0 sequence=7"),
            format!("{MAGIC}1"),
            format!("{MAGIC}x"),
            "# other version=1".to_owned(),
            header().encode().split(CHECK).next().expect("text").replace("points=1", "points=+1"),
            header().encode().split(CHECK).next().expect("text").replace("points=1", "points=0"),
        ] {
            assert!(matches!(judged(&sealed(bad.clone())), Found::Damaged(_)), "{bad}");
        }
        for bad in ["", "\n", " check=\n", "# tower-influx spool version=1\n", "a v=1 1\n"] {
            assert!(matches!(judged(bad), Found::Damaged(_)), "{bad:?}");
        }
    }

    #[test]
    fn numbers_that_no_batch_can_have_are_damage() {
        let judged = |points: usize, bytes: u64| {
            let header = Header { points, bytes, ..header() };
            judge(header.encode().as_bytes(), header.file_bytes(), 9)
        };
        assert!(matches!(judged(8, 8), Found::Batch(_)), "as many points as bytes");
        assert!(matches!(judged(9, 8), Found::Damaged(_)));
        assert!(matches!(judged(1, MAX_BYTES), Found::Batch(_)));
        assert_eq!(judged(1, MAX_BYTES + 1), Found::Damaged("it is longer than any batch"));
    }

    #[test]
    fn a_file_keeps_the_time_that_it_was_written_with() {
        for created in [0, 1, 2_000_000_000, u64::MAX] {
            assert_eq!(Header { created, ..header() }.created(), UNIX_EPOCH + Duration::from_nanos(created));
        }
    }

    #[test]
    fn only_names_that_this_crate_writes_are_parsed() {
        let own = name(0, 0xab, 3, 1_000_000_000_007);
        assert_eq!(own, "batch-19700101T000000Z-000000ab-000003-1000000000007.lp");
        let parsed = FileName { run: 0xab, number: 3, born: Some(1_000_000_000_007) };
        assert_eq!(FileName::parse(&own), Some(parsed));
        let largest = name(u64::MAX, u32::MAX, u64::MAX, u64::MAX);
        assert_eq!(
            FileName::parse(&largest).map(|name| (name.number, name.born)),
            Some((u64::MAX, Some(u64::MAX)))
        );
        let older = FileName { born: None, ..parsed };
        assert_eq!(FileName::parse("batch-19700101T000000Z-000000ab-000003.lp"), Some(older));
        assert!(is_temporary(&format!("{own}{TEMPORARY}")) && !is_temporary(&own));
        for other in [
            "batch-.lp",
            "batch-19700101T000000Z-000000ab-000003",
            "x.lp",
            "batch-19700101T000000Z-ab-1.lp",
            "batch-19700101T000000Z-ab-000003.lp",
            "batch-19700101T000000Z-+00000ab-000003.lp",
            "batch-19700101T000000Z-000000ab-000003-7.lp",
            "batch-19700101T000000Z-000000ab-000003-.lp",
            "batch-19700101T000000Z-000000ab-000003-1000000000007-.lp",
            "batch-19700101T000000Z-000000ab-99999999999999999999.lp",
        ] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_cost_of_a_file_is_linear_in_its_length() {
        let pieces =
            [MAGIC, "1", " sequence=", " points=", CHECK, "batch-19700101T000000Z-", "-000003", ".lp"];
        crate::work::assert_linear(&pieces, |text| {
            judge(text.as_bytes(), text.len() as u64, 9);
            let _ = (Header::parse(text), FileName::parse(text), is_temporary(text));
            // With a correct check the other fields are read, too.
            let sealed = format!("{text}{CHECK}{:08x}\n", crc32fast::hash(text.as_bytes()));
            judge(sealed.as_bytes(), sealed.len() as u64, 9);
            header().batch(text.as_bytes().to_vec());
        });
    }

    #[test]
    fn no_more_of_a_file_is_read_than_a_header_and_the_lines_that_it_promises() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        let text = header().encode();
        std::fs::write(&path, [text.as_bytes(), &vec![b'x'; 1 << 20]].concat()).expect("writes");
        let most = allocation_counter::measure(|| {
            let (found, file) = read_header(&path, 9).expect("reads");
            assert_eq!(found, Found::Damaged("its length is wrong"));
            read_lines(&file, &header()).expect("reads");
        });
        assert!(most.bytes_max < 8 * MAX_HEADER as u64, "{most:?}");
    }
}
