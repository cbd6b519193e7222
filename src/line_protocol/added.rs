//! The fields that the layer itself adds to the lines of a request.

use crate::{
    line_protocol::{Extras, fields::assignment},
    point::{
        TraceId, number_format,
        schema::{REQUEST_BYTES, RESPONSE_BYTES, TRACE_ID},
    },
};

/// What the layer adds where it is asked to. Apart from what handlers add, each of which takes
/// looks at its name, its type and the room that is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddedFields {
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) request_bytes: Option<u64>,
    pub(crate) response_bytes: Option<u64>,
}

/// The names of these fields.
pub(super) const ADDED_NAMES: [&str; 3] = [REQUEST_BYTES, RESPONSE_BYTES, TRACE_ID];

impl AddedFields {
    /// Adds the fields to the line that was written last, behind its other fields. Names that a
    /// handler has used are its own.
    ///
    /// Apart from the other fields, so that requests without these pay nothing for them.
    #[inline(never)]
    pub(crate) fn add_to(&self, line: &mut Vec<u8>, extras: Option<&Extras>) {
        // As all are that were written between 2001 and 2286.
        if let Some((fields, usual @ [b' ', digits @ .., b'\n'])) = line.split_last_chunk::<USUAL_TAIL>()
            && digits.iter().fold(true, |all, digit| all & digit.is_ascii_digit())
        {
            let (end, tail) = (fields.len(), *usual);
            line.truncate(end);
            self.write(line, extras);
            return line.extend_from_slice(&tail);
        }
        let Some(end) = line.iter().rposition(|byte| *byte == b' ') else { return };
        let tail = line.split_off(end);
        self.write(line, extras);
        line.extend_from_slice(&tail);
    }

    #[inline]
    fn write(&self, line: &mut Vec<u8>, extras: Option<&Extras>) {
        let extras = extras.filter(|extras| !extras.is_empty());
        let is_free = |name: &str| extras.is_none_or(|extras| !extras.entries.has(name.as_bytes()));
        if let Some(bytes) = self.request_bytes.filter(|_| is_free(REQUEST_BYTES)) {
            line.extend_from_slice(&assignment!(REQUEST_BYTES));
            count(line, bytes);
        }
        if let Some(bytes) = self.response_bytes.filter(|_| is_free(RESPONSE_BYTES)) {
            line.extend_from_slice(&assignment!(RESPONSE_BYTES));
            count(line, bytes);
        }
        if let Some(trace_id) = self.trace_id.filter(|_| is_free(TRACE_ID)) {
            line.extend_from_slice(&assignment!(TRACE_ID));
            let mut quoted = [b'"'; size_of::<TraceId>() + 2];
            let [_, digits @ .., _] = &mut quoted;
            *digits = trace_id;
            line.extend_from_slice(&quoted);
        }
    }
}

fn count(line: &mut Vec<u8>, bytes: u64) {
    number_format::integer(line, i64::try_from(bytes).unwrap_or(i64::MAX));
    line.push(b'i');
}

/// A space, a timestamp of 19 digits, and the line break.
const USUAL_TAIL: usize = 21;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{line_protocol::parse, settings::Limits};

    const LINE: &str = "requests,route=GET:/ execution_time=0.5,request_id=\"a b\" ";
    const ALL: AddedFields =
        AddedFields { trace_id: Some([b'7'; 32]), request_bytes: Some(3), response_bytes: Some(u64::MAX) };

    #[test]
    fn the_fields_stand_behind_the_others() {
        for stamp in ["0", "1700000000000000256", "-9223372036854775808"] {
            let mut lines = format!("{LINE}{stamp}\n{LINE}{stamp}\n").into_bytes();
            ALL.add_to(&mut lines, None);
            let expected = format!(
                "{LINE}{stamp}\n{},request_bytes=3i,response_bytes=9223372036854775807i,trace_id=\"{}\" {stamp}\n",
                LINE.trim_end(),
                "7".repeat(32)
            );
            assert_eq!(String::from_utf8_lossy(&lines), expected);
            assert!(lines.split_inclusive(|byte| *byte == b'\n').all(|line| parse(line).is_some()));
        }
    }

    #[test]
    fn no_other_field_is_out_of_order() {
        for (fields, expected) in [
            ("b=1,request_bytes=3i,response_bytes=1i,trace_id=\"7\"", true),
            ("z=1,request_bytes=3i,trace_id=\"7\"", true),
            ("z=1,request_bytes=3i", true),
            ("z=1,trace_id=\"7\",request_bytes=3i", false),
            ("request_bytes=3i,z=1,request_bytes=3i", false),
            ("z=1,request_bytes=3i,zz=1", false),
            ("z=1,a=1", false),
            ("z=1,request_bytes=3i,request_bytes=3i", false),
            ("z=1,z=1", false),
        ] {
            assert_eq!(parse(format!("m {fields} 5\n").as_bytes()).is_some(), expected, "{fields}");
        }
    }

    #[test]
    fn without_a_field_the_line_stays_as_it_is() {
        let mut line = format!("{LINE}5\n").into_bytes();
        AddedFields::default().add_to(&mut line, None);
        assert_eq!(String::from_utf8_lossy(&line), format!("{LINE}5\n"));
    }

    #[test]
    fn names_that_a_handler_has_used_are_its_own() {
        for (name, is_tag) in
            [REQUEST_BYTES, RESPONSE_BYTES, TRACE_ID].iter().flat_map(|name| [(name, true), (name, false)])
        {
            let (mut extras, limits) = (Extras::default(), Limits::default());
            let changes = match is_tag {
                true => extras.tag(name, 1.into(), &limits),
                false => extras.field(name, 1.into(), &limits),
            };
            assert!(changes.is_empty());
            let mut line = format!("{LINE}5\n").into_bytes();
            ALL.add_to(&mut line, Some(&extras));
            let line = String::from_utf8_lossy(&line);
            for other in [REQUEST_BYTES, RESPONSE_BYTES, TRACE_ID] {
                assert_eq!(line.contains(&format!(",{other}=")), other != *name, "{line}");
            }
        }
    }
}
