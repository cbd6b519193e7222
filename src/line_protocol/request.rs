//! The lines of a request. They are written on the request path, so they consist of constants that
//! were encoded once.

use std::time::Duration;

use crate::{
    line_protocol::{
        AddedFields, Changes, Extras, STANDARD_BYTES, StaticTags,
        cursor::Cursor,
        escape::{self, EscapeContext},
        fields::{Fields, assignment},
        segment::Segment,
    },
    point::{
        generated_id::{self, GENERATED_ID_BYTES},
        number_format,
        schema::{
            BODY_BYTES, BODY_END, ERROR_CODE, ERRORS, EXECUTION_TIME, REQUEST_ID, REQUESTS, RESPONSE_TIME,
            ROUTE, STATUS_CODE,
        },
    },
    schema::{cardinality::TagCardinality, field_types::FieldTypes},
};

/// Constants of one monitor, encoded once: the request path only copies them.
#[derive(Debug)]
pub(crate) struct RequestTemplate {
    /// `requests`, the static tags before the route, `,route=`.
    requests: Segment,
    /// `errors`, the static tags before the error code, `,error_code=`.
    errors: Segment,
    /// After the error code: the static tags before the route, `,route=`.
    errors_route: Segment,
    /// After the route: the static tags before the status code, `,status_code=`.
    status_code: Segment,
    /// After the status code: the remaining static tags.
    remaining: Segment,
    /// Names of static tags that handlers could otherwise use.
    taken: Box<[Box<[u8]>]>,
    request_id: bool,
}

/// The data of a request from which its lines are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLine<'a> {
    /// Nanoseconds since the epoch, unique.
    pub(crate) stamp: i64,
    /// One of the constants of the methods, which need no escaping.
    pub(crate) method: &'static str,
    /// The raw text of the route after the method, such as `/items/{id}`.
    pub(crate) resource: &'a str,
    /// The head that the same template returned for the method and the resource, if it is cached.
    pub(crate) head: Option<&'a LineHead>,
    pub(crate) status_code: u16,
    /// Not used if the template leaves request ids out.
    pub(crate) request_id: RequestIdText<'a>,
    pub(crate) execution_time: Duration,
    /// Present if the body was tracked.
    pub(crate) body: Option<&'a BodyFields>,
    /// The fields that the layer itself adds.
    pub(crate) added: Option<&'a AddedFields>,
}

/// The tags of a request's lines up to the value of `status_code`, the same for all requests of a
/// method and a route.
#[derive(Debug)]
pub(crate) struct LineHead {
    text: Box<[u8]>,
    /// Where the value of `route` begins.
    route: usize,
}

/// The text of a request's id, as bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RequestIdText<'a> {
    /// Brought by the request, so it may contain anything.
    Own(&'a [u8]),
    /// The number of a generated id: letters, digits and dashes, which need no escaping.
    Generated(u64),
}

/// How the response's body ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyFields {
    pub(crate) bytes: u64,
    /// One of `schema::BODY_COMPLETE`, `BODY_ERROR`, `BODY_DROPPED`, `BODY_UNFINISHED`.
    pub(crate) end: &'static str,
    /// Time from the start of the request to the end of the body.
    pub(crate) response_time: Duration,
}

impl RequestTemplate {
    /// Creates the templates. Without `request_id`, points have no such field. Points in `errors`
    /// then have `execution_time`, since a point needs a field.
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

    /// Encodes the head of all lines with this route. Returns `None` if encoding changes it, which
    /// must be counted for each line.
    pub(crate) fn head(&self, method: &'static str, resource: &str) -> Option<LineHead> {
        let mut changes = Changes::default();
        let mut text = self.requests.text().to_vec();
        let route = text.len();
        escape::route(&mut text, method, resource, STANDARD_BYTES, &mut changes);
        text.extend_from_slice(self.status_code.text());
        changes.is_empty().then(|| LineHead { text: text.into(), route })
    }

    /// Adapts extras to the points of this monitor. Must be called once, when the request has
    /// ended, before encoding.
    ///
    /// Extras with the name of a static tag are left out. Fields keep the type of their name, and
    /// tags the limit on their values.
    pub(crate) fn prepare(
        &self,
        extras: &mut Extras,
        types: &FieldTypes,
        values: &TagCardinality,
        changes: &mut Changes,
    ) {
        for name in &self.taken {
            extras.entries.refuse(name, changes);
        }
        extras.settle(types, values, changes);
    }

    /// Appends the request's line in `requests`. Allocates nothing beyond the growth of `out`.
    #[inline(always)]
    pub(crate) fn encode_request(
        &self,
        out: &mut Vec<u8>,
        request: &RequestLine<'_>,
        extras: Option<&Extras>,
        changes: &mut Changes,
    ) {
        match request.head.and_then(|head| Some((head, self.tags_behind(extras)?))) {
            Some((head, tags)) => {
                out.extend_from_slice(&head.text);
                number_format::status_code(out, request.status_code);
                // Usually there are none: copying nothing takes as long as copying a few bytes.
                if !self.remaining.text().is_empty() {
                    out.extend_from_slice(self.remaining.text());
                }
                if !tags.is_empty() {
                    out.extend_from_slice(tags);
                }
            }
            // The request is copied, here and below, so that it need not be in memory for the sake
            // of rare calls.
            None => self.tags_among(out, &{ *request }, extras, changes),
        }
        // The layer's fields yield to all names that a handler has used, including tags.
        match extras.filter(|extras| request.added.is_some() || !extras.entries.fields().is_empty()) {
            None => self.fields(out, request, changes, None),
            Some(extras) => self.fields_among(out, &{ *request }, changes, extras),
        }
    }

    /// Appends the line in `errors` of a failed request. An empty error code is replaced by the
    /// status code.
    pub(crate) fn encode_error(
        &self,
        out: &mut Vec<u8>,
        request: &RequestLine<'_>,
        error_code: &str,
        extras: Option<&Extras>,
        changes: &mut Changes,
    ) {
        match extras {
            None => self.error(out, request, error_code, changes, None),
            Some(extras) => self.error(out, request, error_code, changes, Some(extras)),
        }
    }

    /// Returns the extra tags if all of them come after those of the template.
    #[inline(always)]
    fn tags_behind<'a>(&self, extras: Option<&'a Extras>) -> Option<&'a [u8]> {
        let Some(Extras { entries, .. }) = extras.filter(|extras| !extras.is_empty()) else {
            return Some(&[]);
        };
        if !self.remaining.text().is_empty() || entries.tags().has_before(STATUS_CODE.as_bytes()) {
            return None;
        }
        entries.tags_in_order()
    }

    #[inline(never)]
    fn tags_among(
        &self,
        out: &mut Vec<u8>,
        request: &RequestLine<'_>,
        extras: Option<&Extras>,
        changes: &mut Changes,
    ) {
        let mut tags = extras.map_or(Cursor::EMPTY, |extras| extras.entries.tags());
        self.requests.write(out, &mut tags);
        self.route(out, request, &mut tags, changes);
        self.status(out, request, tags);
    }

    #[inline(never)]
    fn fields_among(
        &self,
        out: &mut Vec<u8>,
        request: &RequestLine<'_>,
        changes: &mut Changes,
        extras: &Extras,
    ) {
        self.fields(out, request, changes, Some(extras));
    }

    /// Writes the fields. It is inlined once for requests without extra fields, which removes all
    /// code for them.
    #[inline(always)]
    fn fields(
        &self,
        out: &mut Vec<u8>,
        request: &RequestLine<'_>,
        changes: &mut Changes,
        extras: Option<&Extras>,
    ) {
        let mut fields = Fields::new(extras);
        if let Some(body) = request.body {
            fields.assign(out, assignment!(BODY_BYTES));
            number_format::integer(out, i64::try_from(body.bytes).unwrap_or(i64::MAX));
            out.push(b'i');
            fields.assign(out, assignment!(BODY_END));
            // One of the constants of the schema, which need no escaping.
            out.push(b'"');
            out.extend_from_slice(body.end.as_bytes());
            out.push(b'"');
        }
        fields.assign(out, assignment!(EXECUTION_TIME));
        number_format::seconds(out, request.execution_time);
        match request.request_id {
            RequestIdText::Generated(number) if self.request_id && fields.is_plain() => {
                RequestIdText::assign_generated(out, number)
            }
            id if self.request_id => {
                fields.assign(out, assignment!(REQUEST_ID));
                id.write(out, changes);
            }
            _ => {}
        }
        if let Some(body) = request.body {
            fields.assign(out, assignment!(RESPONSE_TIME));
            number_format::seconds(out, body.response_time);
        }
        fields.end(out, request.added, request.stamp);
    }

    /// Writes the line of an error. It is inlined once without extras, too.
    #[inline(always)]
    fn error(
        &self,
        out: &mut Vec<u8>,
        request: &RequestLine<'_>,
        error_code: &str,
        changes: &mut Changes,
        extras: Option<&Extras>,
    ) {
        let mut tags = extras.map_or(Cursor::EMPTY, |extras| extras.entries.tags());
        self.errors.write(out, &mut tags);
        if error_code.is_empty() {
            number_format::status_code(out, request.status_code);
        } else {
            escape::text(out, error_code, EscapeContext::TagValue, STANDARD_BYTES, changes);
        }
        self.errors_route.write(out, &mut tags);
        match request.head.filter(|_| !tags.has_before(STATUS_CODE.as_bytes())) {
            Some(head) => out.extend_from_slice(&head.text[head.route..]),
            None => self.route(out, request, &mut tags, changes),
        }
        self.status(out, request, tags);
        let mut fields = Fields::new(extras);
        if self.request_id {
            fields.assign(out, assignment!(REQUEST_ID));
            request.request_id.write(out, changes);
        } else {
            fields.assign(out, assignment!(EXECUTION_TIME));
            number_format::seconds(out, request.execution_time);
        }
        fields.end(out, request.added, request.stamp);
    }

    /// Writes everything from the value of `route` to that of `status_code`.
    #[inline(always)]
    fn route(
        &self,
        out: &mut Vec<u8>,
        request: &RequestLine<'_>,
        tags: &mut Cursor<'_>,
        changes: &mut Changes,
    ) {
        escape::route(out, request.method, request.resource, STANDARD_BYTES, changes);
        self.status_code.write(out, tags);
    }

    /// Writes the value of `status_code` and the remaining tags.
    #[inline(always)]
    fn status(&self, out: &mut Vec<u8>, request: &RequestLine<'_>, mut tags: Cursor<'_>) {
        number_format::status_code(out, request.status_code);
        if !self.remaining.text().is_empty() {
            self.remaining.write(out, &mut tags);
        }
        for tag in tags {
            out.push(b',');
            out.extend_from_slice(tag);
        }
    }
}

impl RequestIdText<'_> {
    /// Writes the name and the value as one piece. Requires that no extra field comes before, and
    /// that another field was written.
    #[inline(always)]
    fn assign_generated(out: &mut Vec<u8>, number: u64) {
        const NAME: [u8; REQUEST_ID.len() + 2] = assignment!(REQUEST_ID);
        let mut text = [b'"'; NAME.len() + GENERATED_ID_BYTES + 2];
        text[..NAME.len()].copy_from_slice(&NAME);
        text[NAME.len() + 1..][..GENERATED_ID_BYTES].copy_from_slice(&generated_id::text_of(number));
        out.extend_from_slice(&text);
    }

    #[inline(always)]
    fn write(self, out: &mut Vec<u8>, changes: &mut Changes) {
        match self {
            Self::Own(bytes) => escape::string_of_bytes(out, bytes, STANDARD_BYTES, changes),
            Self::Generated(number) => {
                let mut quoted = [b'"'; GENERATED_ID_BYTES + 2];
                quoted[1..][..GENERATED_ID_BYTES].copy_from_slice(&generated_id::text_of(number));
                out.extend_from_slice(&quoted);
            }
        }
    }
}

#[cfg(test)]
mod tests;
