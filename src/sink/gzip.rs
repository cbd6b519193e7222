//! Compressed bodies.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

/// Compresses the lines of a batch.
///
/// On a thread of its own: a full batch takes milliseconds, for which a worker of the runtime would serve no request.
/// `None` where that thread cannot run, because the runtime ends.
pub(super) async fn compress(lines: Bytes) -> Option<Bytes> {
    tokio::task::spawn_blocking(move || compress_now(&lines)).await.ok().flatten()
}

/// Level 1: the higher ones take several times as long and save little on lines that differ in numbers only.
fn compress_now(lines: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(lines.len() / 4), Compression::fast());
    encoder.write_all(lines).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Smaller bodies fit into one packet anyway.
pub(super) const MIN_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[tokio::test]
    async fn lines_survive_and_shrink() {
        let lines =
            "requests,service=s,route=GET:/version,status_code=200 execution_time=0.1 1\n".repeat(1_000);
        let packed = compress(lines.clone().into()).await.expect("the runtime lives");
        assert!(packed.len() * 10 < lines.len());
        let mut unpacked = String::new();
        GzDecoder::new(&packed[..]).read_to_string(&mut unpacked).expect("gzip");
        assert_eq!(unpacked, lines);
    }
}
