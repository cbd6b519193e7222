//! Compression of request bodies.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

/// Compresses the lines of a batch.
///
/// It compresses piece by piece. A full batch takes milliseconds, during which a worker thread of
/// the runtime would serve no request. Blocking threads would be more numerous than batches in
/// flight, and each would keep megabytes of memory. Returns `None` if the compressor reports an
/// error; the body is then sent uncompressed.
pub(super) async fn compress(lines: &[u8]) -> Option<Bytes> {
    // Level 1: higher levels take several times as long, and save little on lines that differ only
    // in numbers.
    let mut encoder = GzEncoder::new(Vec::with_capacity(lines.len() / 3), Compression::fast());
    for piece in lines.chunks(PIECE) {
        encoder.write_all(piece).ok()?;
        tokio::task::yield_now().await;
    }
    encoder.finish().ok().map(Bytes::from)
}

/// Smaller bodies fit into one packet uncompressed.
pub(super) const MIN_BYTES: usize = 1024;
/// Compressing one piece takes about a tenth of a millisecond.
const PIECE: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[tokio::test]
    async fn lines_survive_and_shrink() {
        let lines =
            "requests,service=s,route=GET:/version,status_code=200 execution_time=0.1 1\n".repeat(1_000);
        let packed = compress(lines.as_bytes()).await.expect("memory");
        assert!(packed.len() * 10 < lines.len());
        let mut unpacked = String::new();
        GzDecoder::new(&packed[..]).read_to_string(&mut unpacked).expect("gzip");
        assert_eq!(unpacked, lines);
    }
}
