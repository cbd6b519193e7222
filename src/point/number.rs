//! Numbers as text, the same wherever one is written: in a field, in a tag, in a route's status code.

use std::time::Duration;

/// Appends an integer in decimal.
pub(crate) fn integer(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a finite float so that reading it gives the same float, always with a digit on both sides of a `.`.
///
/// A number that is a whole number of billionths, as every duration is, is written plainly; what is smaller or finer in
/// the shortest form, with an exponent where that is shorter.
pub(crate) fn float(out: &mut Vec<u8>, number: f64) {
    let size = number.abs();
    if size < PLAIN_BELOW as f64 {
        let billionths = (size * BILLION as f64 + 0.5) as u64;
        // At most 15 digits, so the nearest float to these digits is `number`, and its shortest digits are these.
        if billionths != 0 && billionths as f64 / BILLION as f64 == size {
            if number.is_sign_negative() {
                out.push(b'-');
            }
            return decimal(out, billionths / BILLION, (billionths % BILLION) as u32);
        }
    }
    out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
}

/// Appends a duration in seconds, as [`float`] writes [`as_seconds`] of it, without any arithmetic on floats.
#[inline]
pub(crate) fn seconds(out: &mut Vec<u8>, duration: Duration) {
    if duration.as_secs() < PLAIN_BELOW {
        decimal(out, duration.as_secs(), duration.subsec_nanos());
    } else {
        float(out, as_seconds(duration));
    }
}

/// The float that is nearest to a duration in seconds.
pub(crate) fn as_seconds(duration: Duration) -> f64 {
    if duration.as_secs() < PLAIN_BELOW {
        // One correctly rounded division; `as_secs_f64` rounds twice.
        (duration.as_secs() * BILLION + u64::from(duration.subsec_nanos())) as f64 / BILLION as f64
    } else {
        duration.as_secs_f64()
    }
}

/// Appends the status code of a response: three digits, but for what is no status code.
#[inline]
pub(crate) fn status_code(out: &mut Vec<u8>, code: u16) {
    if let 100..1000 = code {
        let digit = |number: u16| b'0' + (number % 10) as u8;
        out.extend_from_slice(&[digit(code / 100), digit(code / 10), digit(code)]);
    } else {
        integer(out, code.into());
    }
}

#[inline]
fn decimal(out: &mut Vec<u8>, whole: u64, billionths: u32) {
    if whole < 10 {
        out.push(b'0' + whole as u8);
    } else {
        out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    }
    out.push(b'.');
    // One digit more, so that leading zeros are written.
    let mut digits = itoa::Buffer::new();
    let digits = &digits.format(BILLION as u32 + billionths).as_bytes()[1..];
    let zeros = digits.iter().skip(1).rev().take_while(|digit| **digit == b'0').count();
    out.extend_from_slice(&digits[..digits.len() - zeros]);
}

const BILLION: u64 = 1_000_000_000;

/// Seconds below which a whole number of billionths has at most 15 digits, which a float holds exactly enough.
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
    fn status_codes_have_three_digits_unless_they_are_none() {
        for code in [0, 7, 99, 100, 204, 404, 999, 1000, u16::MAX] {
            assert_eq!(written(|out| status_code(out, code)), code.to_string());
        }
    }

    proptest! {
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
