//! Compressed bodies.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

/// Compresses the lines of a batch.
///
/// Piece by piece: a full batch takes milliseconds, for which a worker of the runtime would serve
/// no request. Threads for blocking work would be more in number than batches in flight, and each
/// would keep megabytes of memory for itself. `None` if the compressor reports an error; then the
/// body goes plain.
pub(super) async fn compress(lines: &[u8]) -> Option<Bytes> {
    // Level 1: the higher ones take several times as long and save little on lines that differ in
    // numbers only.
    let mut encoder = GzEncoder::new(Vec::with_capacity(lines.len() / 3), Compression::fast());
    for piece in lines.chunks(PIECE) {
        encoder.write_all(piece).ok()?;
        tokio::task::yield_now().await;
    }
    encoder.finish().ok().map(Bytes::from)
}

/// Smaller bodies fit into one packet anyway.
pub(super) const MIN_BYTES: usize = 1024;
/// About a tenth of a millisecond.
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
