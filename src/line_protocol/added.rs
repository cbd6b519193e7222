//! The fields that the layer itself adds to the lines of a request.

use crate::{
    line_protocol::{Extras, fields::assignment},
    point::{
        TraceId, number_format,
        schema::{REQUEST_BYTES, RESPONSE_BYTES, TRACE_ID},
    },
};

/// The fields that the layer adds if configured. They are separate from those of handlers, for
/// which name, type and remaining room must be checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddedFields {
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) request_bytes: Option<u64>,
    pub(crate) response_bytes: Option<u64>,
}

/// The names of these fields.
pub(super) const ADDED_NAMES: [&str; 3] = [REQUEST_BYTES, RESPONSE_BYTES, TRACE_ID];

impl AddedFields {
    /// Writes the fields after all others of a line. A handler's field with the same name takes
    /// precedence.
    #[inline(always)]
    pub(super) fn write(&self, line: &mut Vec<u8>, extras: Option<&Extras>) {
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
            // Written as one piece.
            const NAME: [u8; TRACE_ID.len() + 2] = assignment!(TRACE_ID);
            let mut text = [b'"'; NAME.len() + size_of::<TraceId>() + 2];
            text[..NAME.len()].copy_from_slice(&NAME);
            text[NAME.len() + 1..][..size_of::<TraceId>()].copy_from_slice(&trace_id);
            line.extend_from_slice(&text);
        }
    }
}

fn count(line: &mut Vec<u8>, bytes: u64) {
    number_format::integer(line, i64::try_from(bytes).unwrap_or(i64::MAX));
    line.push(b'i');
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::{
        line_protocol::{Changes, RequestIdText, RequestLine, RequestTemplate, StaticTags, parse},
        settings::Limits,
    };

    const ALL: AddedFields =
        AddedFields { trace_id: Some([b'7'; 32]), request_bytes: Some(3), response_bytes: Some(u64::MAX) };

    /// Returns both lines of a request to which the layer adds these fields.
    fn lines(added: Option<&AddedFields>, extras: Option<&Extras>) -> [String; 2] {
        let template = RequestTemplate::new(&StaticTags::new("shop", None, &BTreeMap::new()), true);
        let head = template.head("GET", "/");
        let line = RequestLine {
            stamp: 5,
            method: "GET",
            resource: "/",
            head: head.as_ref(),
            status_code: 404,
            request_id: RequestIdText::Own(b"a b"),
            execution_time: Duration::from_millis(500),
            body: None,
            added,
        };
        let (mut request, mut error, mut changes) = (Vec::new(), Vec::new(), Changes::default());
        template.encode_request(&mut request, &line, extras, &mut changes);
        template.encode_error(&mut error, &line, "", extras, &mut changes);
        [request, error].map(|line| {
            parse(&line).expect("our own parser reads it");
            String::from_utf8(line).expect("text")
        })
    }

    #[test]
    fn the_fields_come_after_all_others() {
        let mut extras = Extras::default();
        assert!(extras.field("z", true.into(), &Limits::default()).is_empty());
        for extras in [None, Some(&extras)] {
            for (line, without) in lines(Some(&ALL), extras).iter().zip(lines(None, extras)) {
                let fields = format!(
                    ",request_bytes=3i,response_bytes=9223372036854775807i,trace_id=\"{}\" 5\n",
                    "7".repeat(32)
                );
                assert_eq!(*line, without.replace(" 5\n", &fields));
            }
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
    fn without_a_field_the_line_is_unchanged() {
        assert_eq!(lines(Some(&AddedFields::default()), None), lines(None, None));
    }

    #[test]
    fn fields_of_a_handler_take_precedence() {
        for (name, is_tag) in
            [REQUEST_BYTES, RESPONSE_BYTES, TRACE_ID].iter().flat_map(|name| [(name, true), (name, false)])
        {
            let (mut extras, limits) = (Extras::default(), Limits::default());
            let changes = match is_tag {
                true => extras.tag(name, 1.into(), &limits),
                false => extras.field(name, 1.into(), &limits),
            };
            assert!(changes.is_empty());
            for line in lines(Some(&ALL), Some(&extras)) {
                for other in [REQUEST_BYTES, RESPONSE_BYTES, TRACE_ID] {
                    let times = line.matches(&format!("{other}=")).count();
                    assert_eq!(times, 1, "{line}");
                }
                let own = if is_tag { format!(",{name}=1") } else { format!("{name}=1.0") };
                assert!(line.contains(&own) || line.contains(&format!("{name}=1i")), "{line}");
            }
        }
    }
}
