//! The id of a request: its own, or one made here.

use std::{
    cell::Cell,
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use http::HeaderValue;

/// The id of a request: the visible characters of its own header, at most 128 of them, or one given by the layer.
///
/// Given ids are 12 hexadecimal digits that are random for each process, a dash, and a number that is unique in it. They cost
/// no system call and compress better than random ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestId(Id);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Id {
    #[default]
    None,
    Given(u64),
    /// Only visible ASCII, at most [`MAX_LENGTH`].
    Own(HeaderValue),
}

impl RequestId {
    /// The request's own id, or a new one where it has none, or none with a visible character.
    pub(crate) fn from_header(header: Option<&HeaderValue>) -> Self {
        match header {
            Some(value) => Self::from_value(value),
            None => Self::given(),
        }
    }

    fn from_value(value: &HeaderValue) -> Self {
        let bytes = value.as_bytes();
        if (1..=MAX_LENGTH).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic) {
            return Self(Id::Own(value.clone()));
        }
        let kept: Vec<u8> = bytes.iter().copied().filter(u8::is_ascii_graphic).take(MAX_LENGTH).collect();
        match HeaderValue::from_bytes(&kept) {
            Ok(value) if !value.is_empty() => Self(Id::Own(value)),
            _ => Self::given(),
        }
    }

    fn given() -> Self {
        Self(Id::Given(next_number()))
    }

    /// The id as bytes, all of them visible ASCII, without allocation.
    #[inline]
    pub(crate) fn with_bytes<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        match &self.0 {
            Id::None => read(b""),
            Id::Given(number) => read(&text_of(*number)),
            Id::Own(value) => read(value.as_bytes()),
        }
    }

    /// The id as the value of a header, for a response.
    pub(crate) fn to_header(&self) -> Option<HeaderValue> {
        match &self.0 {
            Id::None => None,
            Id::Given(number) => HeaderValue::from_bytes(&text_of(*number)).ok(),
            Id::Own(value) => Some(value.clone()),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_bytes(|bytes| formatter.write_str(str::from_utf8(bytes).unwrap_or_default()))
    }
}

/// A number no other request of this process has. A thread takes a block at a time, so threads do not fight over one counter.
fn next_number() -> u64 {
    thread_local!(static BLOCK: Cell<u64> = const { Cell::new(0) });
    static NEXT_BLOCK: AtomicU64 = AtomicU64::new(0);

    BLOCK
        .try_with(|block| {
            let next = match block.get() {
                used_up if used_up % BLOCK_SIZE == 0 => {
                    NEXT_BLOCK.fetch_add(BLOCK_SIZE, Ordering::Relaxed) + 1
                }
                next => next,
            };
            // Block N holds N + 1 ..= N + BLOCK_SIZE; the last one leads to a multiple of the size, which takes a new block.
            block.set(if next % BLOCK_SIZE == BLOCK_SIZE - 1 { 0 } else { next + 1 });
            next
        })
        .unwrap_or_else(|_| NEXT_BLOCK.fetch_add(BLOCK_SIZE, Ordering::Relaxed) + 1)
}

fn text_of(number: u64) -> [u8; LENGTH] {
    static PREFIX: OnceLock<[u8; PREFIX_LENGTH]> = OnceLock::new();
    let prefix = PREFIX.get_or_init(|| {
        // The standard library seeds this from the system once; no request asks the system for randomness.
        let random = RandomState::new().build_hasher().finish();
        let mut prefix = [b'-'; PREFIX_LENGTH];
        write_hexadecimal(&mut prefix[..PREFIX_LENGTH - 1], random);
        prefix
    });
    let mut text = [0; LENGTH];
    text[..PREFIX_LENGTH].copy_from_slice(prefix);
    write_hexadecimal(&mut text[PREFIX_LENGTH..], number);
    text
}

fn write_hexadecimal(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

const MAX_LENGTH: usize = 128;
const BLOCK_SIZE: u64 = 1024;
const PREFIX_LENGTH: usize = 13;
/// Ten digits of a number last for a trillion requests of one process.
const LENGTH: usize = PREFIX_LENGTH + 10;

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::*;

    #[test]
    fn an_own_id_is_kept_as_far_as_it_is_visible() {
        let id = |bytes: &[u8]| {
            RequestId::from_header(Some(&HeaderValue::from_bytes(bytes).expect("a header value"))).to_string()
        };
        assert_eq!(
            id(b"1536751345,6a5c2191-3e9b-f5de-5ff7-99fe4d4d5b1f"),
            "1536751345,6a5c2191-3e9b-f5de-5ff7-99fe4d4d5b1f"
        );
        assert_eq!(id(b"a b\tc\xff"), "abc");
        assert_eq!(id(&[b'x'; 129]), "x".repeat(128));
        assert_eq!(id(b"\xff\xfe").len(), LENGTH, "nothing visible: a new one");
        assert_eq!(id(b"").len(), LENGTH);
    }

    #[test]
    fn given_ids_are_unique_across_threads() {
        let ids: Vec<String> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        (0..5_000).map(|_| RequestId::from_header(None).to_string()).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 40_000);
        assert!(ids.iter().all(|id| id.len() == LENGTH && id.as_bytes()[12] == b'-'), "{}", ids[0]);
    }
}
