//! Compression of waiting batches: three to six times as many minutes of an outage fit into the
//! same memory.

use std::{sync::Arc, time::SystemTime};

use crate::{clock::MonotonicInstant, delivery::batch::Batch};

/// A compressed batch. Cloning is cheap.
#[derive(Clone, Debug)]
pub(super) struct CompressedBatch {
    bytes: Arc<[u8]>,
    raw_bytes: usize,
    points: usize,
    sequence: u64,
    created: SystemTime,
    sealed: MonotonicInstant,
}

impl CompressedBatch {
    /// Returns whether compression saves memory. For small batches, the window and the header cost
    /// more. Always false in builds without a compressor.
    pub(super) fn is_worth_it(batch: &Batch) -> bool {
        cfg!(any(feature = "influxdb2", feature = "reqwest")) && batch.bytes().len() >= WORTH_COMPRESSING
    }

    /// Compresses a batch. It blocks for about a microsecond a line, so it must not be called on
    /// async threads. Returns `None` if the result is not smaller, and in builds without a
    /// compressor.
    #[cfg(any(feature = "influxdb2", feature = "reqwest"))]
    pub(super) fn new(batch: &Batch) -> Option<Self> {
        use std::io::Write;

        use flate2::{Compression, write::DeflateEncoder};

        let mut encoder =
            DeflateEncoder::new(Vec::with_capacity(batch.bytes().len() / 3), Compression::fast());
        encoder.write_all(batch.bytes()).ok()?;
        let bytes = encoder.finish().ok()?;
        (bytes.len() < batch.bytes().len() / 10 * 9).then(|| Self {
            bytes: bytes.into(),
            raw_bytes: batch.bytes().len(),
            points: batch.len(),
            sequence: batch.sequence(),
            created: batch.created(),
            sealed: batch.sealed(),
        })
    }

    #[cfg(not(any(feature = "influxdb2", feature = "reqwest")))]
    pub(super) fn new(_batch: &Batch) -> Option<Self> {
        None
    }

    #[cfg(any(feature = "influxdb2", feature = "reqwest"))]
    pub(super) fn decompress(&self) -> Option<Batch> {
        use std::io::Read;

        let mut lines = Vec::with_capacity(self.raw_bytes);
        flate2::read::DeflateDecoder::new(&self.bytes[..]).read_to_end(&mut lines).ok()?;
        (lines.len() == self.raw_bytes).then(|| {
            Batch::new(lines.into(), self.points, self.sequence, self.created).sealed_at(self.sealed)
        })
    }

    #[cfg(not(any(feature = "influxdb2", feature = "reqwest")))]
    pub(super) fn decompress(&self) -> Option<Batch> {
        None
    }

    pub(super) fn points(&self) -> usize {
        self.points
    }

    pub(super) fn raw_bytes(&self) -> usize {
        self.raw_bytes
    }

    pub(super) fn memory(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }
}

const WORTH_COMPRESSING: usize = 1024;

#[cfg(any(feature = "influxdb2", feature = "reqwest"))]
#[cfg(test)]
mod tests {
    use super::*;

    fn batch(lines: usize) -> Batch {
        let text: String = (0..lines)
            .map(|number| format!("requests,route=GET:/items,service=s value={number}i {number}\n"))
            .collect();
        Batch::new(text.into(), lines, 7, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn decompressing_gives_the_same_batch() {
        let whole = batch(500);
        let compressed = CompressedBatch::new(&whole).expect("much alike");
        assert!(compressed.memory() * 3 < whole.bytes().len());
        let back = compressed.decompress().expect("just compressed");
        assert_eq!((back.bytes(), back.len(), back.sequence()), (whole.bytes(), 500, 7));
    }

    #[test]
    fn lines_that_do_not_compress_stay_as_they_are() {
        let mut random = fastrand::Rng::with_seed(1);
        let noise: Vec<Vec<u8>> =
            (0..100).map(|_| (0..100).map(|_| random.u8(b'\n' + 1..=u8::MAX)).collect()).collect();
        let batch = Batch::from_lines(&noise).expect("lines");
        assert!(CompressedBatch::is_worth_it(&batch) && CompressedBatch::new(&batch).is_none());
    }

    #[test]
    fn small_batches_stay_as_they_are() {
        assert!(!CompressedBatch::is_worth_it(&batch(3)));
    }
}
