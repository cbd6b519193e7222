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

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::point::schema::GIVEN_ID_BYTES;

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
    /// The header that may hold the id of a request.
    ///
    /// Few headers are compared sooner than one name is hashed, which takes about 140 instructions.
    #[inline]
    pub(crate) fn find<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
        if headers.len() > FEW_HEADERS {
            return headers.get(name);
        }
        headers.iter().find_map(|(other, value)| (other == name).then_some(value))
    }

    /// The id that a request brought, if it has a visible character.
    pub(crate) fn from_header(value: &HeaderValue) -> Option<Self> {
        let bytes = value.as_bytes();
        if (1..=MAX_LENGTH).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic) {
            return Some(Self(Id::Own(value.clone())));
        }
        let kept: Vec<u8> = bytes.iter().copied().filter(u8::is_ascii_graphic).take(MAX_LENGTH).collect();
        let kept = HeaderValue::from_bytes(&kept).ok().filter(|kept| !kept.is_empty());
        kept.map(|kept| Self(Id::Own(kept)))
    }

    /// The id with this number, from [`next_number`](Self::next_number).
    pub(crate) const fn given(number: u64) -> Self {
        Self(Id::Given(number))
    }

    /// The number of an id that was made here.
    pub(crate) fn number(&self) -> Option<u64> {
        if let Id::Given(number) = self.0 { Some(number) } else { None }
    }

    /// A number no other request of this process has, and never 0. A thread takes a block at a time, so threads do not fight
    /// over one counter.
    #[inline]
    pub(crate) fn next_number() -> u64 {
        thread_local!(static NEXT: Cell<u64> = const { Cell::new(0) });

        NEXT.with(|next| {
            // 0 at first, and after the last of a block, which holds no multiple of the size itself.
            let number = if next.get() % BLOCK_SIZE == 0 { next_block() } else { next.get() };
            next.set(number + 1);
            number
        })
    }

    /// The id that the request brought, all of it visible ASCII.
    pub(crate) fn own(&self) -> &[u8] {
        if let Id::Own(value) = &self.0 { value.as_bytes() } else { b"" }
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
        let text = self.number().map(text_of);
        let bytes = text.as_ref().map_or(self.own(), |text| text);
        formatter.write_str(str::from_utf8(bytes).unwrap_or_default())
    }
}

/// The first number of a block that no other thread has.
#[cold]
fn next_block() -> u64 {
    static NEXT_BLOCK: AtomicU64 = AtomicU64::new(0);
    NEXT_BLOCK.fetch_add(BLOCK_SIZE, Ordering::Relaxed) + 1
}

/// The text of a given id.
#[inline]
pub(crate) fn text_of(number: u64) -> [u8; LENGTH] {
    static PREFIX: OnceLock<[u8; PREFIX_LENGTH]> = OnceLock::new();
    let prefix = PREFIX.get_or_init(|| {
        // The standard library seeds this from the system once; no request asks the system for randomness.
        let random = RandomState::new().build_hasher().finish();
        let mut prefix = [b'-'; PREFIX_LENGTH];
        prefix[..8].copy_from_slice(&hexadecimal(random as u32));
        prefix[8..12].copy_from_slice(&hexadecimal((random >> 32) as u32)[..4]);
        prefix
    });
    let mut text = [0; LENGTH];
    text[..PREFIX_LENGTH].copy_from_slice(prefix);
    text[PREFIX_LENGTH..LENGTH - 8].copy_from_slice(&hexadecimal((number >> 32) as u32)[6..]);
    text[LENGTH - 8..].copy_from_slice(&hexadecimal(number as u32));
    text
}

/// All eight digits at once, one in each byte of a word.
#[inline]
fn hexadecimal(number: u32) -> [u8; 8] {
    let number = u64::from(number);
    let fours = (number | (number << 16)) & 0x0000_ffff_0000_ffff;
    let twos = (fours | (fours << 8)) & 0x00ff_00ff_00ff_00ff;
    let ones = (twos | (twos << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    // 1 in each byte that holds 10 or more, and so is a letter.
    let letters = ((ones + u64::from_ne_bytes([6; 8])) >> 4) & u64::from_ne_bytes([1; 8]);
    (ones + u64::from_ne_bytes([b'0'; 8]) + letters * u64::from(b'a' - b'9' - 1)).to_be_bytes()
}

const MAX_LENGTH: usize = 128;
const BLOCK_SIZE: u64 = 1024;
const FEW_HEADERS: usize = 8;
const PREFIX_LENGTH: usize = 13;
/// Behind the prefix, ten digits of a number last for a trillion requests of one process.
const LENGTH: usize = GIVEN_ID_BYTES;

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::*;

    #[test]
    fn an_own_id_is_kept_as_far_as_it_is_visible() {
        let id =
            |bytes: &[u8]| RequestId::from_header(&HeaderValue::from_bytes(bytes).expect("a header value"));
        let id = |bytes: &[u8]| id(bytes).map(|id| id.to_string()).unwrap_or_default();
        assert_eq!(
            id(b"1536751345,6a5c2191-3e9b-f5de-5ff7-99fe4d4d5b1f"),
            "1536751345,6a5c2191-3e9b-f5de-5ff7-99fe4d4d5b1f"
        );
        assert_eq!(id(b"a b\tc\xff"), "abc");
        assert_eq!(id(&[b'x'; 129]), "x".repeat(128));
        assert_eq!(id(b"\xff\xfe"), "", "nothing visible: it gets one");
        assert_eq!(id(b""), "");
    }

    #[test]
    fn numbers_are_hexadecimal() {
        for number in (0..u32::MAX).step_by(99_991).chain([0, 9, 10, 15, 16, u32::MAX]) {
            assert_eq!(hexadecimal(number), *format!("{number:08x}").as_bytes());
        }
        let number = 0x12_3456_789a;
        assert_eq!(text_of(number)[PREFIX_LENGTH..], *b"123456789a");
    }

    #[test]
    fn an_own_id_is_found_among_few_and_many_headers() {
        let name = HeaderName::from_static("x-request-id");
        for others in [0, 1, FEW_HEADERS - 1, FEW_HEADERS, 3 * FEW_HEADERS] {
            let mut headers = HeaderMap::new();
            for number in 0..others {
                let other: HeaderName = format!("x-request-id-{number}").parse().expect("a header name");
                headers.insert(other, HeaderValue::from_static("other"));
            }
            assert_eq!(RequestId::find(&headers, &name), None);
            headers.append(&name, HeaderValue::from_static("first"));
            headers.append(&name, HeaderValue::from_static("second"));
            assert_eq!(RequestId::find(&headers, &name).expect("an id"), "first");
        }
    }

    #[test]
    fn given_ids_are_unique_across_threads() {
        let ids: Vec<String> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        (0..5_000)
                            .map(|_| RequestId::given(RequestId::next_number()).to_string())
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 40_000);
        assert!(ids.iter().all(|id| id.len() == LENGTH && id.as_bytes()[12] == b'-'), "{}", ids[0]);
    }
}
