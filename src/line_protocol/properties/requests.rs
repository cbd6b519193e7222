//! Points of requests: compares the encoder of the layer, which copies constants, with the one for
//! own points.

use std::time::Duration;

use proptest::{collection::vec, prelude::*, sample::select};

use super::{any_text, any_value};
use crate::{
    line_protocol::{
        Changes, Extras, RequestIdText, RequestLine, RequestTemplate, StaticTags, encode_point,
        model::{assert_one_line, cut, name, read_by_influxdata, read_by_us, string},
    },
    point::{Point, RequestPoint, Value},
    schema::{cardinality::TagCardinality, field_types::FieldTypes},
    settings::Limits,
};

const METHODS: [&str; 3] = ["GET", "OPTIONS", "OTHER"];

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

#[derive(Clone, Debug)]
struct AddedExtra {
    is_tag: bool,
    key: &'static str,
    value: Value<'static>,
}

fn any_extras() -> impl Strategy<Value = Vec<AddedExtra>> {
    let added = (any::<bool>(), select(&KEYS[..]), any_value());
    vec(added.prop_map(|(is_tag, key, value)| AddedExtra { is_tag, key, value }), 0..12)
}

/// Cuts an id to the length that it can have on the request path, where no setting bounds it.
fn short(text: String) -> String {
    cut(&text, 512).to_owned()
}

fn extras_of(added: &[AddedExtra], limits: &Limits) -> Extras {
    let mut extras = Extras::default();
    set(&mut extras, added, limits);
    extras
}

fn set(extras: &mut Extras, added: &[AddedExtra], limits: &Limits) -> Changes {
    let mut changes = Changes::default();
    for AddedExtra { is_tag, key, value } in added {
        changes += match is_tag {
            true => extras.tag(key, value.clone(), limits),
            false => extras.field(key, value.clone(), limits),
        };
    }
    changes
}

/// Sets extras as request data does: usual tags and fields take the fast path.
fn set_as_handlers_do(extras: &mut Extras, added: &[AddedExtra], limits: &Limits) -> Changes {
    let mut changes = Changes::default();
    for added in added {
        let is_set = match added.is_tag {
            true => extras.plain_tag(added.key, &added.value, limits),
            false => extras.plain_field(added.key, &added.value, limits),
        };
        if !is_set {
            changes += set(extras, std::slice::from_ref(added), limits);
        }
    }
    changes
}

/// Generates extras. Most of them are usual, and some are as long as all extras of a request may
/// be.
fn usual_extras() -> impl Strategy<Value = Vec<AddedExtra>> {
    let texts = vec!["acme", "globex", "x", "a b"];
    let value = prop_oneof![
        20 => select(texts).prop_map(Value::from),
        2 => (11_000..12_000_usize).prop_map(|size| Value::from("x".repeat(size))),
        3 => any_value(),
    ];
    let key = prop_oneof![4 => select(&KEYS[..10]), 1 => select(&KEYS[..])];
    let added = (prop::bool::weighted(0.7), key, value);
    vec(added.prop_map(|(is_tag, key, value)| AddedExtra { is_tag, key, value }), 0..12)
}

proptest! {
    #[test]
    fn both_paths_write_the_same_bytes(
        service in any_text(),
        method in select(&METHODS[..]),
        resource in any_text(),
        status_code: u16,
        request_id in any_text().prop_map(short),
        error_code in any_text(),
        nanoseconds in 0..2_000_000_000_000_000_u64,
        added in any_extras(),
        static_tags in vec((select(&KEYS[..10]), any_text()), 0..3),
    ) {
        let limits = Limits::default();
        let execution_time = Duration::from_nanos(nanoseconds);
        let further = static_tags.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let static_tags = StaticTags::new(&service, None, &further);
        let (types, values) = (FieldTypes::default(), TagCardinality::new(0));

        let line = RequestLine {
            stamp: 5,
            method,
            resource: &resource,
            head: None,
            status_code,
            request_id: RequestIdText::Own(request_id.as_bytes()),
            execution_time,
            body: None,
            added: None,
        };
        let template = RequestTemplate::new(&static_tags, !request_id.is_empty());
        let mut extras = extras_of(&added, &limits);
        template.prepare(&mut extras, &types, &values, &mut Changes::default());
        let (mut request, mut error) = (Vec::new(), Vec::new());
        template.encode_request(&mut request, &line, Some(&extras), &mut Changes::default());
        template.encode_error(&mut error, &line, &error_code, Some(&extras), &mut Changes::default());
        if let Some(head) = template.head(method, &resource) {
            let line = RequestLine { head: Some(&head), ..line };
            let (mut with_head, mut changes, mut same) = (Vec::new(), Changes::default(), Changes::default());
            template.encode_request(&mut with_head, &line, Some(&extras), &mut changes);
            template.encode_error(&mut with_head, &line, &error_code, Some(&extras), &mut changes);
            let line = RequestLine { head: None, ..line };
            let mut without = Vec::new();
            template.encode_request(&mut without, &line, Some(&extras), &mut same);
            template.encode_error(&mut without, &line, &error_code, Some(&extras), &mut same);
            prop_assert_eq!(String::from_utf8_lossy(&with_head), String::from_utf8_lossy(&without));
            prop_assert_eq!(changes, same);
        }

        let mut point = RequestPoint::new(&service, method, &resource, status_code, execution_time)
            .with_request_id(&request_id);
        for AddedExtra { is_tag, key, value } in &added {
            // Handlers cannot set static tags, but an own point can.
            if !further.contains_key(*key) || further[*key].is_empty() {
                // `NaN` has a text, which a tag could hold, but from a handler it is refused.
                let is_number = !matches!(value, Value::Float(number) if !number.is_finite());
                point = match is_tag {
                    true if is_number => point.with_tag(*key, value.clone()),
                    true => point,
                    false => point.with_field(*key, value.clone()),
                };
            }
        }
        let types = FieldTypes::default();
        let generic = |point: &dyn Point| {
            let mut out = Vec::new();
            encode_point(point, 5, &static_tags, &limits, &types, &values, &mut out).expect("has fields");
            out
        };
        for (line, point) in [(request, generic(&point)), (error, generic(&point.error(error_code.clone())))] {
            assert_one_line(&line);
            prop_assert_eq!(String::from_utf8_lossy(&line), String::from_utf8_lossy(&point));
            prop_assert_eq!(read_by_us(&line), read_by_influxdata(&line));
        }
    }

    #[test]
    fn the_fast_path_for_usual_extras_writes_the_same_bytes(
        rounds in vec((usual_extras(), any::<bool>(), any::<bool>()), 1..6),
        tag_bytes in select(vec![1, 5, 20, usize::MAX]),
        field_bytes in select(vec![1, 5, 20, usize::MAX]),
        extras in 1..9_usize,
    ) {
        let limits = Limits { tag_bytes, field_bytes, extras, ..Limits::default() };
        // As request data is reused for the next request, which may belong to another monitor.
        let mut recycled = Extras::default();
        let (types, expected_types) = (<[FieldTypes; 2]>::default(), <[FieldTypes; 2]>::default());
        let values = TagCardinality::new(0);
        let template = RequestTemplate::new(&StaticTags::new("s", None, &Default::default()), false);
        let head = template.head("GET", "/").expect("nothing to change");
        let line = RequestLine {
            stamp: 0,
            method: "GET",
            resource: "/",
            head: Some(&head),
            status_code: 200,
            request_id: RequestIdText::Own(b""),
            execution_time: Duration::ZERO,
            body: None,
            added: None,
        };
        for (added, is_second, is_cloned) in rounds {
            recycled.clear();
            let mut changes = set_as_handlers_do(&mut recycled, &added, &limits);
            let (mut plainly, mut expected) = (Extras::default(), Changes::default());
            expected += set(&mut plainly, &added, &limits);
            if is_cloned {
                recycled = recycled.clone();
            }
            template.prepare(&mut recycled, &types[usize::from(is_second)], &values, &mut changes);
            let types = &expected_types[usize::from(is_second)];
            template.prepare(&mut plainly, types, &values, &mut expected);
            prop_assert_eq!(changes, expected);
            let (mut out, mut expected) = (Vec::new(), Vec::new());
            template.encode_request(&mut out, &line, Some(&recycled), &mut Changes::default());
            let line = RequestLine { head: None, ..line };
            template.encode_request(&mut expected, &line, Some(&plainly), &mut Changes::default());
            prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected));
        }
    }

    #[test]
    fn standard_tags_and_fields_always_survive(
        service in any_text(),
        method in select(&METHODS[..]),
        resource in any_text(),
        request_id in any_text(),
        error_code in any_text(),
        added in any_extras(),
    ) {
        let limits = Limits::default();
        let template = RequestTemplate::new(&StaticTags::new(&service, None, &Default::default()), true);
        let line = RequestLine {
            stamp: i64::MAX,
            method,
            resource: &resource,
            head: None,
            status_code: 200,
            request_id: RequestIdText::Own(request_id.as_bytes()),
            execution_time: Duration::from_micros(1),
            body: None,
            added: None,
        };
        let extras = extras_of(&added, &limits);
        let (mut request, mut error) = (Vec::new(), Vec::new());
        template.encode_request(&mut request, &line, Some(&extras), &mut Changes::default());
        template.encode_error(&mut error, &line, &error_code, Some(&extras), &mut Changes::default());
        let value = |text: &str| Some(name(cut(text, 1024), false)).filter(|text| !text.is_empty());
        for (line, measurement) in [(request, "requests"), (error, "errors")] {
            let stored = read_by_influxdata(&line);
            prop_assert_eq!(&stored.measurement, measurement);
            prop_assert_eq!(stored.tags.get("service").cloned(), value(&service));
            prop_assert_eq!(stored.tags.get("route").cloned(), value(&format!("{method}:{resource}")));
            prop_assert_eq!(&stored.tags["status_code"], "200");
            prop_assert_eq!(&stored.fields["request_id"], &Value::from(string(&request_id, 1024)));
            if measurement == "errors" {
                let code = value(&error_code).unwrap_or_else(|| "200".to_owned());
                prop_assert_eq!(&stored.tags["error_code"], &code);
            } else {
                prop_assert_eq!(&stored.fields["execution_time"], &Value::Float(0.000_001));
            }
        }
    }

    #[test]
    fn setting_extras_in_pieces_is_setting_them_in_one(first in any_extras(), second in any_extras()) {
        let limits = Limits { extras: usize::MAX, ..Limits::default() };
        let mut merged = extras_of(&first, &limits);
        let changes = merged.merge(&extras_of(&second, &limits), &limits);
        let both: Vec<AddedExtra> = first.into_iter().chain(second).collect();
        let at_once = extras_of(&both, &limits);
        let line = |extras: &Extras| {
            let template = RequestTemplate::new(&StaticTags::default(), false);
            let line = RequestLine {
                stamp: 0,
                method: "",
                resource: "",
                head: None,
                status_code: 0,
                request_id: RequestIdText::Own(b""),
                execution_time: Duration::ZERO,
                body: None,
                added: None,
            };
            let mut out = Vec::new();
            template.encode_request(&mut out, &line, Some(extras), &mut Changes::default());
            String::from_utf8(out).expect("UTF-8")
        };
        prop_assert_eq!(line(&merged), line(&at_once));
        prop_assert_eq!(Changes { refused: changes.refused, ..Changes::default() }, changes);
    }
}
