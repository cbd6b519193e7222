//! Tests the lines of a request, byte by byte.

use super::*;
use crate::settings::Limits;

fn template(instance: Option<&str>, further: &[(&str, &str)], request_id: bool) -> RequestTemplate {
    let further = further.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    RequestTemplate::new(&StaticTags::new("licenses", instance, &further), request_id)
}

fn line() -> RequestLine<'static> {
    RequestLine {
        stamp: 1_700_000_000_000_000_256,
        method: "GET",
        resource: "/items/{id}",
        head: None,
        status_code: 404,
        request_id: RequestIdText::Own(b"4f2a00000000-00000000a1"),
        execution_time: Duration::from_nanos(123_456),
        body: None,
        added: None,
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>, &mut Changes)) -> String {
    let (mut out, mut changes) = (b"before\n".to_vec(), Changes::default());
    write(&mut out, &mut changes);
    assert_eq!(changes, Changes::default());
    String::from_utf8(out).expect("UTF-8").strip_prefix("before\n").expect("appended").to_owned()
}

#[test]
fn the_lines_of_a_request() {
    let template = template(None, &[], true);
    assert_eq!(
        written(|out, changes| template.encode_request(out, &line(), None, changes)),
        "requests,route=GET:/items/{id},service=licenses,status_code=404 \
         execution_time=0.000123456,request_id=\"4f2a00000000-00000000a1\" 1700000000000000256\n"
    );
    assert_eq!(
        written(|out, changes| template.encode_error(out, &line(), "11009", None, changes)),
        "errors,error_code=11009,route=GET:/items/{id},service=licenses,status_code=404 \
         request_id=\"4f2a00000000-00000000a1\" 1700000000000000256\n"
    );
}

#[test]
fn static_tags_are_in_sorted_order() {
    let tags = [("cluster", "c"), ("fleet", "f"), ("sector", "s"), ("site", "t"), ("zone", "z")];
    let template = template(Some("i"), &tags, true);
    assert_eq!(
        written(|out, changes| template.encode_error(out, &line(), "1", None, changes)),
        "errors,cluster=c,error_code=1,fleet=f,instance=i,route=GET:/items/{id},sector=s,service=licenses,site=t,\
         status_code=404,zone=z request_id=\"4f2a00000000-00000000a1\" 1700000000000000256\n"
    );
}

#[test]
fn extras_are_in_sorted_order() {
    let (mut extras, limits) = (Extras::default(), Limits::default());
    for key in ["zz", "status", "a", "error_codf", "routf"] {
        assert!(extras.tag(key, "x".into(), &limits).is_empty());
    }
    for key in ["zzz", "aa", "body_f", "ffff"] {
        assert!(extras.field(key, 1.into(), &limits).is_empty());
    }
    let mut line = line();
    let body = BodyFields { bytes: 5, end: "complete", response_time: Duration::from_secs(2) };
    line.body = Some(&body);
    let template = template(None, &[("zone", "z")], true);
    assert_eq!(
        written(|out, changes| template.encode_request(out, &line, Some(&extras), changes)),
        "requests,a=x,error_codf=x,route=GET:/items/{id},routf=x,service=licenses,status=x,status_code=404,zone=z,zz=x \
         aa=1i,body_bytes=5i,body_end=\"complete\",body_f=1i,execution_time=0.000123456,ffff=1i,\
         request_id=\"4f2a00000000-00000000a1\",response_time=2.0,zzz=1i 1700000000000000256\n"
    );
    assert_eq!(
        written(|out, changes| template.encode_error(out, &line, "1", Some(&extras), changes)),
        "errors,a=x,error_code=1,error_codf=x,route=GET:/items/{id},routf=x,service=licenses,status=x,\
         status_code=404,zone=z,zz=x aa=1i,body_f=1i,ffff=1i,request_id=\"4f2a00000000-00000000a1\",zzz=1i 1700000000000000256\n"
    );
}

#[test]
fn without_request_ids_an_error_has_its_execution_time() {
    let template = template(None, &[], false);
    assert_eq!(
        written(|out, changes| template.encode_request(out, &line(), None, changes)),
        "requests,route=GET:/items/{id},service=licenses,status_code=404 \
         execution_time=0.000123456 1700000000000000256\n"
    );
    assert_eq!(
        written(|out, changes| template.encode_error(out, &line(), "", None, changes)),
        "errors,error_code=404,route=GET:/items/{id},service=licenses,status_code=404 \
         execution_time=0.000123456 1700000000000000256\n"
    );
}

#[test]
fn extras_yield_to_static_tags_and_respect_types_and_limits() {
    let (mut extras, limits) = (Extras::default(), Limits::default());
    let (types, values) = (FieldTypes::default(), TagCardinality::new(1));
    let template = template(None, &[("zone", "z"), ("site", "t")], false);
    let mut prepared = |tenant: &str, size: crate::point::Value<'_>| {
        extras.clear();
        extras.tag("zone", "mine".into(), &limits);
        extras.field("site", 1.into(), &limits);
        extras.tag("tenant", tenant.into(), &limits);
        extras.field("size", size, &limits);
        let mut changes = Changes::default();
        template.prepare(&mut extras, &types, &values, &mut changes);
        let mut out = Vec::new();
        template.encode_request(&mut out, &line(), Some(&extras), &mut Changes::default());
        (changes, String::from_utf8(out).expect("UTF-8"))
    };
    let ours = Changes { refused: 2, ..Changes::default() };
    let text = |tenant: &str, size: &str| {
        format!(
            "requests,route=GET:/items/{{id}},service=licenses,site=t,status_code=404,tenant={tenant},zone=z \
             execution_time=0.000123456{size} 1700000000000000256\n"
        )
    };
    assert_eq!(prepared("acme", 1.5.into()), (ours, text("acme", ",size=1.5")));
    assert_eq!(prepared("acme", 7.into()), (ours, text("acme", ",size=7")));
    assert_eq!(prepared("b", 7.into()), (Changes { overflowed: 1, ..ours }, text("other", ",size=7")));
    assert_eq!(prepared("acme", "x".into()), (Changes { conflicts: 1, ..ours }, text("acme", "")));
}

#[test]
fn the_largest_request_fits_into_a_line() {
    let bad = ",".repeat(30_000);
    let further = (0..100).map(|number| (format!("{number}"), bad.clone())).collect();
    let template = RequestTemplate::new(&StaticTags::new(&bad, Some(&bad), &further), true);
    let limits = Limits {
        tag_bytes: usize::MAX,
        field_bytes: usize::MAX,
        extras: usize::MAX,
        tag_values: 1,
        ..Limits::default()
    };
    let (mut extras, values) = (Extras::default(), TagCardinality::new(1));
    let names: Vec<&'static str> =
        (0..30_000).map(|number| &*Box::leak(format!("n{number}").into_boxed_str())).collect();
    for name in &names {
        extras.tag(name, "a".into(), &limits);
    }
    for name in &names {
        values.admits(format!("{name}=first").as_bytes(), name.len());
    }
    let mut changes = Changes::default();
    template.prepare(&mut extras, &FieldTypes::default(), &values, &mut changes);
    assert!(changes.overflowed > 1_000);
    let mut line = RequestLine { resource: &bad, request_id: RequestIdText::Own(bad.as_bytes()), ..line() };
    let body = BodyFields { bytes: u64::MAX, end: "complete", response_time: Duration::MAX };
    line.body = Some(&body);
    line.execution_time = Duration::MAX;
    let added = AddedFields {
        trace_id: Some([b'7'; 32]),
        request_bytes: Some(u64::MAX),
        response_bytes: Some(u64::MAX),
    };
    for (extras, added) in
        [(Some(&extras), None), (Some(&extras), Some(&added)), (None, Some(&added)), (None, None)]
    {
        line.added = added;
        let mut out = Vec::new();
        template.encode_request(&mut out, &line, extras, &mut Changes::default());
        assert!(out.len() <= crate::line_protocol::LINE_BYTES, "{}", out.len());
        assert!(crate::line_protocol::parse(&out).is_some());
        out.clear();
        template.encode_error(&mut out, &line, &bad, extras, &mut Changes::default());
        assert!(out.len() <= crate::line_protocol::LINE_BYTES, "{}", out.len());
        assert!(crate::line_protocol::parse(&out).is_some());
    }
}

#[test]
fn a_usual_field_keeps_the_first_type_of_each_monitor() {
    let (mut extras, limits) = (Extras::default(), Limits::default());
    let (first, second) = (FieldTypes::default(), FieldTypes::default());
    let (template, values) = (template(None, &[], false), TagCardinality::new(0));
    let mut settled = |types: &FieldTypes, size: crate::point::Value<'_>| {
        extras.clear();
        assert!(extras.plain_field("size", &size, &limits));
        let mut changes = Changes::default();
        template.prepare(&mut extras, types, &values, &mut changes);
        let held =
            extras.entries.field_value(b"size").map(|value| String::from_utf8_lossy(value).into_owned());
        (held.unwrap_or_default(), changes.conflicts)
    };
    for _ in 0..2 {
        assert_eq!(settled(&first, 1.5.into()), ("1.5".to_owned(), 0));
        assert_eq!(settled(&first, 7.into()), ("7".to_owned(), 0), "an integer where floats go");
        assert_eq!(settled(&first, "x".into()), (String::new(), 1));
        assert_eq!(settled(&second, "x".into()), ("\"x\"".to_owned(), 0), "another monitor");
        assert_eq!(settled(&second, 1.5.into()), (String::new(), 1));
    }
}
