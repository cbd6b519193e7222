//! The id of a request: the one that it brought, or a generated one.

use std::{
    cell::Cell,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use http::HeaderValue;

use crate::{point::generated_id, stats::RecorderCounters, work::looked_at};

/// The id of a request. It is the value of the request's own header, reduced to visible ASCII
/// characters and at most 128 of them. Without such a header the layer generates an id.
///
/// A generated id has 12 hexadecimal digits that are random for each process, and a dash. Ten
/// hexadecimal digits follow, a number that is unique in the process. Such an id costs no system
/// call, and compresses better than a random one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestId(Id);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Id {
    #[default]
    None,
    Generated(u64),
    /// Only visible ASCII, at most [`MAX_LENGTH`] bytes.
    Own(HeaderValue),
}

impl RequestId {
    /// Reads the id that a request brought, if it has a visible character. An id that is changed or
    /// cut is counted.
    pub(crate) fn from_header(value: &HeaderValue, counters: &RecorderCounters) -> Option<Self> {
        let bytes = value.as_bytes();
        looked_at(2 * bytes.len());
        if (1..=MAX_LENGTH).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic) {
            return Some(Self(Id::Own(value.clone())));
        }
        let mut kept: Vec<u8> = bytes.iter().copied().filter(u8::is_ascii_graphic).collect();
        if kept.len() < bytes.len() {
            counters.sanitized.add(1);
        }
        if kept.len() > MAX_LENGTH {
            counters.truncated.add(1);
            kept.truncate(MAX_LENGTH);
        }
        let kept = HeaderValue::from_bytes(&kept).ok().filter(|kept| !kept.is_empty());
        kept.map(|kept| Self(Id::Own(kept)))
    }

    /// Creates the id with this number, from [`next_number`](Self::next_number).
    pub(crate) const fn generated(number: u64) -> Self {
        Self(Id::Generated(number))
    }

    /// Returns the number of a generated id.
    pub(crate) fn number(&self) -> Option<u64> {
        if let Id::Generated(number) = self.0 { Some(number) } else { None }
    }

    /// Returns a number that no other request of this process has, and never 0. Each thread takes a
    /// block of numbers at a time, so threads do not contend for one counter.
    #[inline]
    pub(crate) fn next_number() -> u64 {
        thread_local!(static NEXT: Cell<u64> = const { Cell::new(0) });

        NEXT.with(|next| {
            // The value is a multiple of the size at first and after the last number of a block. A
            // block itself contains none.
            let number = if next.get() % BLOCK_SIZE == 0 { next_block() } else { next.get() };
            next.set(number + 1);
            number
        })
    }

    /// Returns the id that the request brought. It consists of visible ASCII.
    pub(crate) fn own(&self) -> &[u8] {
        if let Id::Own(value) = &self.0 { value.as_bytes() } else { b"" }
    }

    /// Returns the id as the value of a header, for a response.
    pub(crate) fn to_header(&self) -> Option<HeaderValue> {
        match &self.0 {
            Id::None => None,
            Id::Generated(number) => HeaderValue::from_bytes(&generated_id::text_of(*number)).ok(),
            Id::Own(value) => Some(value.clone()),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.number().map(generated_id::text_of);
        let bytes = text.as_ref().map_or(self.own(), |text| text);
        formatter.write_str(str::from_utf8(bytes).unwrap_or_default())
    }
}

/// Returns the first number of a new block.
#[cold]
fn next_block() -> u64 {
    static NEXT_BLOCK: AtomicU64 = AtomicU64::new(0);
    NEXT_BLOCK.fetch_add(BLOCK_SIZE, Ordering::Relaxed) + 1
}

const MAX_LENGTH: usize = 128;
const BLOCK_SIZE: u64 = 1024;

#[cfg(test)]
mod tests {
    use crate::point::generated_id::GENERATED_ID_BYTES;
    use std::{collections::HashSet, thread};

    use super::*;

    #[test]
    fn the_visible_part_of_a_brought_id_is_kept() {
        let counters = RecorderCounters::default();
        let id = |bytes: &[u8]| {
            RequestId::from_header(&HeaderValue::from_bytes(bytes).expect("a header value"), &counters)
        };
        let id = |bytes: &[u8]| id(bytes).map(|id| id.to_string()).unwrap_or_default();
        let counted = || (counters.sanitized.count(), counters.truncated.count());
        assert_eq!(
            id(b"1536751345,6a5c2191-3e9b-f5de-5ff7-99fe4d4d5b1f"),
            "1536751345,6a5c2191-3e9b-f5de-5ff7-99fe4d4d5b1f"
        );
        assert_eq!(counted(), (0, 0));
        assert_eq!(id(b"a b\tc\xff"), "abc");
        assert_eq!(counted(), (1, 0));
        assert_eq!(id(&[b'x'; 129]), "x".repeat(128));
        assert_eq!(counted(), (1, 1));
        assert_eq!(id(&[b"x ".as_slice(); 129].concat()), "x".repeat(128));
        assert_eq!(counted(), (2, 2));
        let spaced = [&[b'x'; 64], b" ".as_slice(), &[b'x'; 64]].concat();
        assert_eq!(id(&spaced), "x".repeat(128));
        assert_eq!(counted(), (3, 2), "what is left fits");
        assert_eq!(id(b"\xff\xfe"), "", "nothing visible: it gets one");
        assert_eq!(id(b""), "");
        assert_eq!(counted(), (4, 2), "an empty one was not changed");
    }

    #[test]
    fn generated_ids_are_unique_across_threads() {
        let ids: Vec<String> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        (0..5_000)
                            .map(|_| RequestId::generated(RequestId::next_number()).to_string())
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 40_000);
        assert!(
            ids.iter().all(|id| id.len() == GENERATED_ID_BYTES && id.as_bytes()[12] == b'-'),
            "{}",
            ids[0]
        );
    }

    #[test]
    fn a_thread_counts_through_its_block_and_skips_its_boundary() {
        let count = || (0..3 * BLOCK_SIZE).map(|_| RequestId::next_number()).collect::<Vec<_>>();
        for _ in 0..8 {
            let numbers = thread::spawn(count).join().expect("no panic");
            assert!(numbers.iter().all(|number| number % BLOCK_SIZE != 0));
            let blocks = 1 + numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
            assert!(blocks <= 4, "{blocks} blocks for as many numbers as three have");
        }
    }

    #[test]
    fn the_cost_of_an_id_is_linear_in_its_length_and_little_of_it_is_kept() {
        let counters = RecorderCounters::default();
        crate::work::assert_linear(&[], |text| {
            let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) else { return };
            let id = RequestId::from_header(&value, &counters);
            assert!(id.is_none_or(|id| id.own().len() <= MAX_LENGTH));
        });
    }
}
