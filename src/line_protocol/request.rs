//! The lines of a request: written on its own path, so from constants that were encoded once.

use std::time::Duration;

use crate::{
    field_types::FieldTypes,
    line_protocol::{
        Changes, Extras, STANDARD_BYTES, StaticTags,
        entries::Cursor,
        escape::{self, Position},
    },
    point::{
        number,
        schema::{
            BODY_BYTES, BODY_END, ERROR_CODE, ERRORS, EXECUTION_TIME, REQUEST_ID, REQUESTS, RESPONSE_TIME,
            ROUTE, STATUS_CODE,
        },
    },
    tag_values::TagValues,
};

/// Constants of one monitor, encoded once: the request path only copies them.
#[derive(Debug)]
pub(crate) struct RequestTemplate {
    /// `requests`, the static tags that come before the route, `,route=`.
    requests: Segment,
    /// `errors`, the static tags that come before the error code, `,error_code=`.
    errors: Segment,
    /// From behind the error code: the static tags that come before the route, `,route=`.
    errors_route: Segment,
    /// From behind the route: the static tags that come before the status code, `,status_code=`.
    status_code: Segment,
    /// From behind the status code: the static tags that remain.
    remaining: Segment,
    /// Names of static tags that handlers would otherwise be free to use.
    taken: Box<[Box<[u8]>]>,
    request_id: bool,
}

/// What is known of a request when its points are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLine<'a> {
    /// Nanoseconds since the epoch, unique.
    pub(crate) stamp: i64,
    /// With `resource` the raw text of the route, such as `GET` and `/items/{id}`.
    pub(crate) method: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) status_code: u16,
    /// Text, as bytes. Not used where the template leaves request ids out.
    pub(crate) request_id: &'a [u8],
    pub(crate) execution_time: Duration,
    /// Where the body was tracked.
    pub(crate) body: Option<BodyFields>,
}

/// What became of the response's body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyFields {
    pub(crate) bytes: u64,
    /// One of `schema::BODY_COMPLETE`, `BODY_ERROR`, `BODY_DROPPED`.
    pub(crate) end: &'static str,
    /// From the start of the request to the end of the body.
    pub(crate) response_time: Duration,
}

impl RequestTemplate {
    /// Without `request_id`, points have no such field, and `errors` has `execution_time` instead, since a point needs one.
    pub(crate) fn new(static_tags: &StaticTags, request_id: bool) -> Self {
        Self {
            requests: Segment::new(REQUESTS, static_tags, None, Some(ROUTE)),
            errors: Segment::new(ERRORS, static_tags, None, Some(ERROR_CODE)),
            errors_route: Segment::new("", static_tags, Some(ERROR_CODE), Some(ROUTE)),
            status_code: Segment::new("", static_tags, Some(ROUTE), Some(STATUS_CODE)),
            remaining: Segment::new("", static_tags, Some(STATUS_CODE), None),
            taken: static_tags.further_keys().map(Box::from).collect(),
            request_id,
        }
    }

    /// Makes extras fit the points of this monitor: to be called once, when the request has ended, before encoding.
    ///
    /// Extras with the name of a static tag are left out, fields keep to the type of their name, and tags to the number of
    /// values they may have.
    pub(crate) fn prepare(&self, extras: &mut Extras, types: &FieldTypes, values: &TagValues) -> Changes {
        let taken = self.taken.iter().map(|key| &**key);
        let mut changes = extras.entries.refuse(taken);
        changes += extras.entries.settle(REQUESTS.as_bytes(), types, values);
        changes
    }

    /// Appends the request's line in `requests`. Allocates nothing beyond the growth of `out`.
    pub(crate) fn encode_request(
        &self,
        out: &mut Vec<u8>,
        request: &RequestLine<'_>,
        extras: Option<&Extras>,
    ) -> Changes {
        let mut changes = Changes::default();
        let (mut tags, mut fields) = cursors(extras);
        self.requests.write(out, &mut tags);
        self.route_and_status(out, request, &mut tags, &mut changes);
        out.push(b' ');
        if let Some(body) = &request.body {
            extra_fields_before(out, &mut fields, BODY_BYTES);
            assign(out, BODY_BYTES);
            number::integer(out, i64::try_from(body.bytes).unwrap_or(i64::MAX));
            out.extend_from_slice(b"i,");
            extra_fields_before(out, &mut fields, BODY_END);
            assign(out, BODY_END);
            escape::string(out, body.end, STANDARD_BYTES, &mut changes);
            out.push(b',');
        }
        extra_fields_before(out, &mut fields, EXECUTION_TIME);
        assign(out, EXECUTION_TIME);
        number::seconds(out, request.execution_time);
        if self.request_id {
            out.push(b',');
            extra_fields_before(out, &mut fields, REQUEST_ID);
            assign(out, REQUEST_ID);
            escape::string_of_bytes(out, request.request_id, STANDARD_BYTES, &mut changes);
        }
        if let Some(body) = &request.body {
            out.push(b',');
            extra_fields_before(out, &mut fields, RESPONSE_TIME);
            assign(out, RESPONSE_TIME);
            number::seconds(out, body.response_time);
        }
        end(out, fields, request.stamp);
        changes
    }

    /// Appends the line in `errors` of a request that failed. An empty error code becomes the status code.
    pub(crate) fn encode_error(
        &self,
        out: &mut Vec<u8>,
        request: &RequestLine<'_>,
        error_code: &str,
        extras: Option<&Extras>,
    ) -> Changes {
        let mut changes = Changes::default();
        let (mut tags, mut fields) = cursors(extras);
        self.errors.write(out, &mut tags);
        if error_code.is_empty() {
            number::status_code(out, request.status_code);
        } else {
            escape::text(out, error_code, Position::TagValue, STANDARD_BYTES, &mut changes);
        }
        self.errors_route.write(out, &mut tags);
        self.route_and_status(out, request, &mut tags, &mut changes);
        out.push(b' ');
        if self.request_id {
            extra_fields_before(out, &mut fields, REQUEST_ID);
            assign(out, REQUEST_ID);
            escape::string_of_bytes(out, request.request_id, STANDARD_BYTES, &mut changes);
        } else {
            extra_fields_before(out, &mut fields, EXECUTION_TIME);
            assign(out, EXECUTION_TIME);
            number::seconds(out, request.execution_time);
        }
        end(out, fields, request.stamp);
        changes
    }

    /// From the route's value to the last tag.
    #[inline]
    fn route_and_status(
        &self,
        out: &mut Vec<u8>,
        request: &RequestLine<'_>,
        tags: &mut Cursor<'_>,
        changes: &mut Changes,
    ) {
        escape::route(out, request.method, request.resource, STANDARD_BYTES, changes);
        self.status_code.write(out, tags);
        number::status_code(out, request.status_code);
        if !self.remaining.text.is_empty() {
            self.remaining.write(out, tags);
        }
        for tag in tags {
            out.push(b',');
            out.extend_from_slice(tag);
        }
    }
}

/// A constant run of a line's tags, which may end in the middle of one, and where an extra tag may come in between.
#[derive(Debug)]
struct Segment {
    text: Box<[u8]>,
    cuts: Box<[Cut]>,
}

/// An extra tag with a lesser name goes to `at` or before.
#[derive(Debug)]
struct Cut {
    name: Box<[u8]>,
    at: usize,
}

impl Segment {
    /// The static tags between two standard ones, and the second one's name, whose value varies.
    fn new(start: &str, static_tags: &StaticTags, after: Option<&str>, before: Option<&str>) -> Self {
        let mut text = start.as_bytes().to_vec();
        let mut cuts = Vec::new();
        for tag in static_tags.iter() {
            if after.is_none_or(|after| tag.key() > after.as_bytes())
                && before.is_none_or(|before| tag.key() < before.as_bytes())
            {
                cuts.push(Cut { name: tag.key().into(), at: text.len() });
                text.extend_from_slice(tag.text());
            }
        }
        if let Some(before) = before {
            cuts.push(Cut { name: before.as_bytes().into(), at: text.len() });
            text.push(b',');
            assign(&mut text, before);
        }
        Self { text: text.into(), cuts: cuts.into() }
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>, tags: &mut Cursor<'_>) {
        if tags.is_empty() {
            out.extend_from_slice(&self.text);
        } else {
            self.write_with(out, tags);
        }
    }

    fn write_with(&self, out: &mut Vec<u8>, tags: &mut Cursor<'_>) {
        if self.cuts.last().is_none_or(|cut| !tags.has_before(&cut.name)) {
            return out.extend_from_slice(&self.text);
        }
        let mut from = 0;
        for cut in &self.cuts {
            while let Some(tag) = tags.before(&cut.name) {
                out.extend_from_slice(&self.text[from..cut.at]);
                out.push(b',');
                out.extend_from_slice(tag);
                from = cut.at;
            }
        }
        out.extend_from_slice(&self.text[from..]);
    }
}

fn cursors(extras: Option<&Extras>) -> (Cursor<'_>, Cursor<'_>) {
    extras.map(|extras| (extras.entries.tags(), extras.entries.fields())).unwrap_or_default()
}

fn assign(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
}

/// A standard field follows, so each of these is followed by a comma.
#[inline]
fn extra_fields_before(out: &mut Vec<u8>, fields: &mut Cursor<'_>, name: &str) {
    if !fields.is_empty() {
        write_fields_before(out, fields, name);
    }
}

fn write_fields_before(out: &mut Vec<u8>, fields: &mut Cursor<'_>, name: &str) {
    while let Some(field) = fields.before(name.as_bytes()) {
        out.extend_from_slice(field);
        out.push(b',');
    }
}

/// The remaining fields and the timestamp.
fn end(out: &mut Vec<u8>, fields: Cursor<'_>, stamp: i64) {
    for field in fields {
        out.push(b',');
        out.extend_from_slice(field);
    }
    super::stamp(out, stamp);
}

#[cfg(test)]
mod tests;
