//! The text of a generated id: 12 digits of the process, a dash, and ten digits of the request.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::OnceLock,
};

/// Returns the text of a generated id.
#[inline(always)]
pub(crate) fn text_of(number: u64) -> [u8; GENERATED_ID_BYTES] {
    static PREFIX: OnceLock<[u8; PREFIX_LENGTH]> = OnceLock::new();
    let prefix = PREFIX.get_or_init(|| {
        // The standard library seeds this from the system once. No request reads randomness from
        // the system.
        let random = RandomState::new().build_hasher().finish();
        let mut prefix = [b'-'; PREFIX_LENGTH];
        prefix[..8].copy_from_slice(&hexadecimal(random as u32));
        prefix[8..12].copy_from_slice(&hexadecimal((random >> 32) as u32)[..4]);
        prefix
    });
    let mut text = [0; GENERATED_ID_BYTES];
    text[..PREFIX_LENGTH].copy_from_slice(prefix);
    let upper = (number >> 32) as u32;
    // The first four thousand million requests need no second conversion.
    let upper = if upper == 0 { *b"00" } else { two_digits(upper) };
    text[PREFIX_LENGTH..GENERATED_ID_BYTES - 8].copy_from_slice(&upper);
    text[GENERATED_ID_BYTES - 8..].copy_from_slice(&hexadecimal(number as u32));
    text
}

#[cold]
fn two_digits(number: u32) -> [u8; 2] {
    let [.., tens, ones] = hexadecimal(number);
    [tens, ones]
}

/// Formats all eight digits at once, one in each byte of a word.
#[inline(always)]
fn hexadecimal(number: u32) -> [u8; 8] {
    let number = u64::from(number);
    let fours = (number | (number << 16)) & 0x0000_ffff_0000_ffff;
    let twos = (fours | (fours << 8)) & 0x00ff_00ff_00ff_00ff;
    let ones = (twos | (twos << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    // 1 in each byte that holds 10 or more, and therefore becomes a letter.
    let letters = ((ones + u64::from_ne_bytes([6; 8])) >> 4) & u64::from_ne_bytes([1; 8]);
    (ones + u64::from_ne_bytes([b'0'; 8]) + letters * u64::from(b'a' - b'9' - 1)).to_be_bytes()
}

const PREFIX_LENGTH: usize = 13;
/// The ten digits after the prefix suffice for a trillion requests of one process.
pub(crate) const GENERATED_ID_BYTES: usize = 23;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_hexadecimal() {
        for number in (0..u32::MAX).step_by(99_991).chain([0, 9, 10, 15, 16, u32::MAX]) {
            assert_eq!(hexadecimal(number), *format!("{number:08x}").as_bytes());
        }
        let number = 0x12_3456_789a;
        assert_eq!(text_of(number)[PREFIX_LENGTH..], *b"123456789a");
    }
}
