//! Points of requests with extras of handlers. Compares the layer's encoder with that of own
//! points, whose values are checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::discriminant,
    time::Duration,
};

use arbitrary::{Arbitrary, Unstructured};

use super::values::{ArbitraryText, ArbitraryValue};
use crate::{
    line_protocol::{
        BodyFields, Changes, Extras, RequestIdText, RequestLine, RequestTemplate, StaticTags, encode_point,
        model::{assert_one_line, cut, read_by_influxdata, read_by_us},
    },
    point::{Point, RequestPoint, Value, schema},
    schema::{cardinality::TagCardinality, field_types::FieldTypes},
    settings::Limits,
};

/// Keys as handlers might write them. There are few, so that they collide, around every standard
/// name, with all characters that must be escaped.
const KEYS: [&str; 20] = [
    "a",
    "db_time",
    "f",
    "ffff",
    "request_idx",
    "routf",
    "servicf",
    "statut",
    "t",
    "zzz",
    "a b",
    "a,b",
    "a=b",
    "a\\",
    "x::y",
    "new\nline",
    "route",
    "time",
    "_field",
    "",
];

#[derive(Arbitrary, Debug)]
struct ArbitraryRequests {
    service: ArbitraryText,
    static_tags: Vec<(u8, ArbitraryText)>,
    requests: Vec<ArbitraryRequest>,
}

#[derive(Arbitrary, Debug)]
struct ArbitraryRequest {
    method: u8,
    resource: ArbitraryText,
    status_code: u16,
    request_id: ArbitraryText,
    error_code: ArbitraryText,
    nanoseconds: u64,
    body: Option<(u64, u64)>,
    added: Vec<ArbitraryExtra>,
}

#[derive(Arbitrary, Debug)]
struct ArbitraryExtra {
    is_tag: bool,
    key: ArbitraryKey,
    value: ArbitraryValue,
}

#[derive(Arbitrary, Debug)]
struct ArbitraryKey(u8);

impl ArbitraryKey {
    fn text(&self) -> &'static str {
        KEYS[usize::from(self.0) % KEYS.len()]
    }
}

/// Encodes requests with what handlers add, by the layer's path and by that of own points.
pub fn request_lines(bytes: &[u8]) {
    let Ok(input) = ArbitraryRequests::arbitrary(&mut Unstructured::new(bytes)) else { return };
    // From the names that are also used for tags and fields.
    let key = |number: u8| KEYS[usize::from(number) % 10].to_owned();
    let further: BTreeMap<_, _> =
        input.static_tags.iter().map(|(number, value)| (key(*number), value.text())).collect();
    let static_tags = StaticTags::new(&input.service.text(), None, &further);
    let mut seen = SeenExtras { types: BTreeMap::new(), values: BTreeMap::new() };
    let (types, values) = (FieldTypes::default(), TagCardinality::new(TAG_VALUES));
    for request in &input.requests {
        both_paths_write_the_same(request, &input.service.text(), &further, &static_tags);
        for line in request.lines(&static_tags, true, &types, &values).0 {
            assert_one_line(&line);
            let stored = read_by_influxdata(&line);
            assert_eq!(stored, read_by_us(&line));
            seen.check(&stored.fields, &stored.tags);
        }
    }
}

/// Compares texts that both encoders accept, since ids are cut at different lengths.
fn both_paths_write_the_same(
    request: &ArbitraryRequest,
    service: &str,
    further: &BTreeMap<String, String>,
    static_tags: &StaticTags,
) {
    let (types, values) = (FieldTypes::default(), TagCardinality::new(0));
    let request_id = request.request_id();
    let ([line, error_line], changes) = request.lines(static_tags, !request_id.is_empty(), &types, &values);
    if changes.excess > 0 || request.body.is_some() {
        return;
    }
    let execution_time = Duration::from_nanos(request.nanoseconds);
    let mut point = RequestPoint::new(
        service,
        request.method(),
        request.resource.text(),
        request.status_code,
        execution_time,
    )
    .with_request_id(request_id);
    for ArbitraryExtra { is_tag, key, value } in &request.added {
        let (key, value) = (key.text(), value.value());
        // Handlers cannot set static tags, but an own point can.
        if further.get(key).is_some_and(|value| !value.is_empty()) {
            continue;
        }
        // `NaN` has a text, which a tag could hold, but from a handler it is refused.
        let is_number = !matches!(value, Value::Float(number) if !number.is_finite());
        point = match is_tag {
            true if is_number => point.with_tag(key, value),
            true => point,
            false => point.with_field(key, value),
        };
    }
    let types = FieldTypes::default();
    let generic = |point: &dyn Point| {
        let mut out = Vec::new();
        encode_point(point, 5, static_tags, &Limits::default(), &types, &values, &mut out)
            .expect("has fields");
        out
    };
    for (line, point) in
        [(line, generic(&point)), (error_line, generic(&point.error(request.error_code.text())))]
    {
        assert_eq!(String::from_utf8_lossy(&line), String::from_utf8_lossy(&point));
    }
}

impl ArbitraryRequest {
    fn method(&self) -> &'static str {
        ["GET", "POST", "DELETE", "other", "X"][usize::from(self.method) % 5]
    }

    /// Returns an id of a length that both encoders accept.
    fn request_id(&self) -> String {
        cut(&self.request_id.text(), 512).to_owned()
    }

    fn lines(
        &self,
        static_tags: &StaticTags,
        request_id: bool,
        types: &FieldTypes,
        values: &TagCardinality,
    ) -> ([Vec<u8>; 2], Changes) {
        let (method, resource, id) = (self.method(), self.resource.text(), self.request_id());
        let body = self.body.map(|(bytes, nanoseconds)| BodyFields {
            bytes,
            end: schema::BODY_COMPLETE,
            response_time: Duration::from_nanos(nanoseconds),
        });
        let line = RequestLine {
            stamp: 5,
            method,
            resource: &resource,
            head: None,
            status_code: self.status_code,
            request_id: RequestIdText::Own(id.as_bytes()),
            execution_time: Duration::from_nanos(self.nanoseconds),
            body: body.as_ref(),
            added: None,
        };
        let template = RequestTemplate::new(static_tags, request_id);
        let (mut extras, limits, mut changes) = (Extras::default(), Limits::default(), Changes::default());
        for ArbitraryExtra { is_tag, key, value } in &self.added {
            // As request data does: usual tags and fields take the fast path.
            let is_set = match is_tag {
                true => extras.plain_tag(key.text(), &value.value(), &limits),
                false => extras.plain_field(key.text(), &value.value(), &limits),
            };
            if is_set {
                continue;
            }
            changes += match is_tag {
                true => extras.tag(key.text(), value.value(), &limits),
                false => extras.field(key.text(), value.value(), &limits),
            };
        }
        template.prepare(&mut extras, types, values, &mut changes);
        let (mut request, mut error) = (Vec::new(), Vec::new());
        template.encode_request(&mut request, &line, Some(&extras), &mut changes);
        template.encode_error(&mut error, &line, &self.error_code.text(), Some(&extras), &mut changes);
        if let Some(head) = template.head(method, &resource) {
            let line = RequestLine { head: Some(&head), ..line };
            let ([mut same, mut same_error], mut ignored) = ([Vec::new(), Vec::new()], Changes::default());
            template.encode_request(&mut same, &line, Some(&extras), &mut ignored);
            template.encode_error(
                &mut same_error,
                &line,
                &self.error_code.text(),
                Some(&extras),
                &mut ignored,
            );
            assert_eq!([&same, &same_error], [&request, &error], "a known head changes nothing");
        }
        ([request, error], changes)
    }
}

/// What the database has seen of the extras so far.
struct SeenExtras {
    types: BTreeMap<String, std::mem::Discriminant<Value<'static>>>,
    values: BTreeMap<String, BTreeSet<String>>,
}

impl SeenExtras {
    fn check(&mut self, fields: &BTreeMap<String, Value<'static>>, tags: &BTreeMap<String, String>) {
        for (key, value) in fields {
            let first = *self.types.entry(key.clone()).or_insert(discriminant(value));
            assert_eq!(first, discriminant(value), "field {key:?} has two types");
        }
        for (key, value) in tags.iter().filter(|(key, _)| KEYS.contains(&key.as_str())) {
            let values = self.values.entry(key.clone()).or_default();
            values.insert(value.clone());
            let most = TAG_VALUES + usize::from(values.contains(schema::OVERFLOW));
            // The route is one of the names, and has no limit.
            assert!(
                values.len() <= most || key == schema::ROUTE,
                "tag {key:?} has more than {TAG_VALUES} values"
            );
        }
    }
}

const TAG_VALUES: usize = 2;
