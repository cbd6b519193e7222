//! Numbers as text, in the same format everywhere: in fields, in tags, and as status codes.

use std::{cell::Cell, time::Duration};

use http::StatusCode;

/// Appends an integer in decimal.
pub(crate) fn integer(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a finite float. Parsing the text gives the same float, and it always has a digit on both
/// sides of a `.`.
///
/// A whole number of billionths, such as every duration, is written in plain decimal. Other numbers
/// have their shortest form, with an exponent where that is shorter.
pub(crate) fn float(out: &mut Vec<u8>, number: f64) {
    let size = number.abs();
    if size < PLAIN_BELOW as f64 {
        let billionths = (size * BILLION as f64 + 0.5) as u64;
        // There are at most 15 digits, so the float nearest to them is `number`, and they are its
        // shortest digits.
        if billionths != 0 && billionths as f64 / BILLION as f64 == size {
            if number.is_sign_negative() {
                out.push(b'-');
            }
            return decimal(out, billionths / BILLION, (billionths % BILLION) as u32);
        }
    }
    out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
}

/// Appends a duration in seconds, in the same form as [`float`] for [`as_seconds`], but without
/// float arithmetic.
#[inline(always)]
pub(crate) fn seconds(out: &mut Vec<u8>, duration: Duration) {
    if duration.as_secs() < PLAIN_BELOW {
        decimal(out, duration.as_secs(), duration.subsec_nanos());
    } else {
        float(out, as_seconds(duration));
    }
}

/// Returns the float that is nearest to a duration in seconds.
pub(crate) fn as_seconds(duration: Duration) -> f64 {
    if duration.as_secs() < PLAIN_BELOW {
        // One correctly rounded division; `as_secs_f64` rounds twice.
        (duration.as_secs() * BILLION + u64::from(duration.subsec_nanos())) as f64 / BILLION as f64
    } else {
        duration.as_secs_f64()
    }
}

/// Appends the status code of a response: three digits, unless it is an invalid code.
#[inline]
pub(crate) fn status_code(out: &mut Vec<u8>, code: u16) {
    match StatusCode::from_u16(code) {
        Ok(code) => out.extend_from_slice(code.as_str().as_bytes()),
        Err(_) => integer(out, code.into()),
    }
}

/// Appends a space, a timestamp in nanoseconds and the end of the line. Timestamps from 2001 to
/// 2262 have 19 digits.
#[inline(always)]
pub(crate) fn timestamp(out: &mut Vec<u8>, stamp: i64) {
    if stamp < 10_i64.pow(18) {
        return short_timestamp(out, stamp);
    }
    let stamp = stamp.cast_unsigned();
    let (upper, lower) = (stamp / HUNDRED_MILLION, (stamp % HUNDRED_MILLION) as u32);
    let mut digits = *b" 0000000000000000000\n";
    digits[1..12].copy_from_slice(&upper_digits(upper));
    digits[12..20].copy_from_slice(&text_of_lanes(eight_lanes(lower)));
    out.extend_from_slice(&digits);
}

/// Formats the first eleven digits of a timestamp. They stay the same for a tenth of a second, so
/// each thread caches the last ones.
#[inline]
fn upper_digits(upper: u64) -> [u8; 11] {
    thread_local!(static LAST: Cell<(u64, [u8; 11])> = const { Cell::new((0, [b'0'; 11])) });

    LAST.with(|last| {
        let (known, digits) = last.get();
        if known == upper {
            return digits;
        }
        let mut digits = [b'0'; 11];
        digits[..3].copy_from_slice(&three_digits((upper / HUNDRED_MILLION) as u16));
        digits[3..].copy_from_slice(&text_of_lanes(eight_lanes((upper % HUNDRED_MILLION) as u32)));
        last.set((upper, digits));
        digits
    })
}

#[cold]
fn short_timestamp(out: &mut Vec<u8>, stamp: i64) {
    out.push(b' ');
    integer(out, stamp);
    out.push(b'\n');
}

#[inline(always)]
fn decimal(out: &mut Vec<u8>, whole: u64, billionths: u32) {
    let mut digits = [b'.'; 11];
    digits[2] = b'0' + (billionths / HUNDRED_MILLION as u32) as u8;
    let lanes = eight_lanes(billionths % HUNDRED_MILLION as u32);
    digits[3..].copy_from_slice(&text_of_lanes(lanes));
    // The last digit is in the highest lane.
    let end = digits.len() - lanes.leading_zeros() as usize / 8;
    let start = out.len();
    if whole < 10 {
        digits[0] = b'0' + whole as u8;
        out.extend_from_slice(&digits);
        out.truncate(start + end);
    } else {
        integer(out, whole.cast_signed());
        out.extend_from_slice(&digits[1..end]);
    }
}

#[inline]
fn three_digits(number: u16) -> [u8; 3] {
    let digit = |number: u16| b'0' + (number % 10) as u8;
    [digit(number / 100), digit(number / 10), digit(number)]
}

/// Splits all eight digits of a number below a hundred million at once, one into each lane of eight
/// bits, the first into the lowest. Each step halves the digits of a lane: four, two, one. The
/// divisions by 100 and 10 are multiplications, which are exact for the values of a lane.
#[inline]
fn eight_lanes(number: u32) -> u64 {
    let number = u64::from(number);
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x7f_0000_007f;
    let twos = hundreds | ((fours - 100 * hundreds) << 16);
    let tens = ((twos * 103) >> 10) & 0x0f_000f_000f_000f;
    tens | ((twos - 10 * tens) << 8)
}

#[inline]
fn text_of_lanes(lanes: u64) -> [u8; 8] {
    (lanes | u64::from_ne_bytes([b'0'; 8])).to_le_bytes()
}

const HUNDRED_MILLION: u64 = 100_000_000;
const BILLION: u64 = 1_000_000_000;

/// Below this many seconds, a whole number of billionths has at most 15 digits, which a float
/// represents accurately enough.
const PLAIN_BELOW: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("numbers are ASCII")
    }

    #[test]
    fn floats_have_a_digit_on_both_sides_of_the_point() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (0.000_000_001, "0.000000001"),
            (0.000_123_456, "0.000123456"),
            (999_999.999_999_999, "999999.999999999"),
            (0.1 + 0.2, "0.30000000000000004"),
        ] {
            assert_eq!(written(|out| float(out, number)), text);
        }
    }

    #[test]
    fn durations_are_whole_nanoseconds() {
        for (duration, text) in [
            (Duration::ZERO, "0.0"),
            (Duration::from_nanos(1), "0.000000001"),
            (Duration::from_nanos(123_456), "0.000123456"),
            (Duration::from_millis(1_500), "1.5"),
            (Duration::from_secs(10), "10.0"),
            (Duration::new(999_999, 999_999_999), "999999.999999999"),
            (Duration::from_secs(1_000_000), "1000000.0"),
        ] {
            assert_eq!(written(|out| seconds(out, duration)), text);
        }
        assert!(written(|out| seconds(out, Duration::MAX)).parse::<f64>().expect("a float").is_finite());
    }

    #[test]
    fn status_codes_have_three_digits_unless_they_are_invalid() {
        for code in [0, 7, 99, 100, 204, 404, 999, 1000, u16::MAX] {
            assert_eq!(written(|out| status_code(out, code)), code.to_string());
        }
    }

    #[test]
    fn timestamps_are_whole_numbers() {
        for stamp in [
            i64::MIN + 2,
            -1,
            0,
            10_i64.pow(18) - 1,
            10_i64.pow(18),
            1_700_000_000_000_000_000,
            1_799_999_999_999_999_999,
            i64::MAX - 1,
        ] {
            assert_eq!(written(|out| timestamp(out, stamp)), format!(" {stamp}\n"));
        }
    }

    #[test]
    fn every_lane_of_eight_digits_is_exact() {
        for number in (0..10_000).flat_map(|number| [number, number * 10_000, number * 10_001]) {
            assert_eq!(text_of_lanes(eight_lanes(number)), *format!("{number:08}").as_bytes());
        }
    }

    proptest! {
        #[test]
        fn any_timestamp_is_a_whole_number(stamp: i64) {
            prop_assert_eq!(written(|out| timestamp(out, stamp)), format!(" {stamp}\n"));
        }

        #[test]
        fn any_finite_float_reads_back(bits: u64) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            let text = written(|out| float(out, number));
            prop_assert_eq!(text.parse::<f64>().expect("a float").to_bits(), bits);
            prop_assert!(!text.starts_with('.') && !text.ends_with('.') && !text.contains("-."));
        }

        #[test]
        fn any_duration_is_written_as_its_float(nanoseconds in 0..=PLAIN_BELOW * BILLION * 3) {
            let duration = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(
                written(|out| seconds(out, duration)),
                written(|out| float(out, as_seconds(duration)))
            );
        }

        #[test]
        fn a_short_duration_is_written_as_its_float(nanoseconds in 0..100_000_000_u64) {
            let duration = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(
                written(|out| seconds(out, duration)),
                written(|out| float(out, as_seconds(duration)))
            );
        }
    }
}
