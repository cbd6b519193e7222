//! Reads from a line what the page needs, without creating a point.
//!
//! A service under load writes a hundred thousand lines a second. Parsing each into a
//! [`DataPoint`](crate::DataPoint) would cost several times as much.

use std::{borrow::Cow, str};

use crate::{
    line_protocol::parse,
    point::{
        Point,
        schema::{ERROR_CODE, ERRORS, EXECUTION_TIME, REQUEST_ID, REQUESTS, ROUTE, SERVICE, STATUS_CODE},
    },
    work::looked_at,
};

/// A line of one of the two measurements that the page shows, or of another one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ScannedLine<'a> {
    Request(ScannedRequest<'a>),
    Error(ScannedError<'a>),
    Other,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ScannedRequest<'a> {
    /// Nanoseconds since the epoch.
    pub(super) time: i64,
    pub(super) service: Cow<'a, str>,
    pub(super) route: Cow<'a, str>,
    pub(super) status_code: Cow<'a, str>,
    /// Seconds.
    pub(super) execution_time: f64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ScannedError<'a> {
    /// Nanoseconds since the epoch.
    pub(super) time: i64,
    pub(super) service: Cow<'a, str>,
    pub(super) route: Cow<'a, str>,
    pub(super) status_code: Cow<'a, str>,
    pub(super) error_code: Cow<'a, str>,
    pub(super) request_id: Option<Cow<'a, str>>,
}

/// Reads a line in the form that this crate writes. Returns `None` for anything else.
pub(super) fn scan(line: &[u8]) -> Option<ScannedLine<'_>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let (is_request, is_error) = (starts(line, REQUESTS), starts(line, ERRORS));
    if !is_request && !is_error {
        return Some(ScannedLine::Other);
    }
    // Escapes are rare, and left to the parser.
    if line.contains(&b'\\') {
        return slowly(line);
    }
    let text = str::from_utf8(line).ok()?;
    let (head, rest) = text.split_once(' ')?;
    let (fields, time) = rest.rsplit_once(' ')?;
    let time = time.parse().ok()?;
    let mut tags = head.split(',').skip(1).map(|tag| tag.split_once('='));
    if is_request {
        let mut request = ScannedRequest { time, ..ScannedRequest::default() };
        tags.try_for_each(|tag| {
            let (key, value) = tag?;
            match key {
                ROUTE => request.route = value.into(),
                STATUS_CODE => request.status_code = value.into(),
                SERVICE => request.service = value.into(),
                _ => {}
            }
            Some(())
        })?;
        request.execution_time = field(fields, EXECUTION_TIME)?.parse().ok()?;
        return (!request.route.is_empty()).then_some(ScannedLine::Request(request));
    }
    let mut failure = ScannedError { time, ..ScannedError::default() };
    tags.try_for_each(|tag| {
        let (key, value) = tag?;
        match key {
            ROUTE => failure.route = value.into(),
            STATUS_CODE => failure.status_code = value.into(),
            ERROR_CODE => failure.error_code = value.into(),
            SERVICE => failure.service = value.into(),
            _ => {}
        }
        Some(())
    })?;
    let id = field(fields, REQUEST_ID);
    failure.request_id = id.map(|id| id.trim_matches('"').into());
    (!failure.route.is_empty()).then_some(ScannedLine::Error(failure))
}

/// Returns whether the line belongs to a failed request.
pub(super) fn is_error(line: &[u8]) -> bool {
    starts(line, ERRORS)
}

fn starts(line: &[u8], measurement: &str) -> bool {
    line.strip_prefix(measurement.as_bytes()).is_some_and(|rest| rest.first() == Some(&b','))
}

/// Returns the text of a field's value, in a list without a backslash.
fn field<'a>(mut fields: &'a str, wanted: &str) -> Option<&'a str> {
    loop {
        let (key, rest) = fields.split_once('=')?;
        let end = match rest.strip_prefix('"') {
            Some(string) => string.find('"')? + 2,
            None => rest.find(',').unwrap_or(rest.len()),
        };
        looked_at(key.len() + end);
        let (value, after) = rest.split_at_checked(end)?;
        if key == wanted {
            return Some(value);
        }
        fields = after.strip_prefix(',')?;
    }
}

fn slowly(line: &[u8]) -> Option<ScannedLine<'static>> {
    let point = parse(line)?;
    let tag = |key| Cow::from(point.tag(key).unwrap_or_default().to_owned());
    let (time, service, route, status_code) =
        (point.time()?.as_nanos(), tag(SERVICE), tag(ROUTE), tag(STATUS_CODE));
    match point.measurement() {
        _ if route.is_empty() => None,
        REQUESTS => {
            let execution_time = point.field(EXECUTION_TIME)?.as_f64()?;
            Some(ScannedLine::Request(ScannedRequest { time, service, route, status_code, execution_time }))
        }
        _ => {
            let request_id = point.field(REQUEST_ID).and_then(|id| id.as_str());
            let request_id = request_id.map(|id| id.to_owned().into());
            let error_code = tag(ERROR_CODE);
            Some(ScannedLine::Error(ScannedError {
                time,
                service,
                route,
                status_code,
                error_code,
                request_id,
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_of_line_is_read() {
        let request = ScannedRequest {
            time: 17,
            service: "shop".into(),
            route: "GET:/a".into(),
            status_code: "200".into(),
            execution_time: 0.25,
        };
        let line = br#"requests,route=GET:/a,service=shop,status_code=200,z=1 a="x,y=1 \\",execution_time=0.25,size=3i 17"#;
        assert_eq!(scan(line), Some(ScannedLine::Request(request.clone())));
        let line =
            b"requests,route=GET:/a,service=shop,status_code=200,z=1 a=\"x,y=1 2\",execution_time=0.25,request_id=\"i\" 17\n";
        assert_eq!(scan(line), Some(ScannedLine::Request(request)));
        let failure = ScannedError {
            time: 18,
            service: "shop".into(),
            route: "GET:/a b".into(),
            status_code: "404".into(),
            error_code: "11009".into(),
            request_id: Some("i".into()),
        };
        let line =
            br#"errors,error_code=11009,route=GET:/a\ b,service=shop,status_code=404 request_id="i" 18"#;
        assert_eq!(scan(line), Some(ScannedLine::Error(failure)));
        assert_eq!(scan(b"jobs,queue=mail seconds=1 18"), Some(ScannedLine::Other));
    }

    #[test]
    fn lines_that_this_crate_did_not_write_are_refused() {
        for line in [
            "requests,",
            "requests,route=GET:/a",
            "requests,route=GET:/a execution_time=1",
            "requests,route=GET:/a other=1 1",
            "requests,route=GET:/a other=\"1 1",
            "requests,route=GET:/a execution_time=x 1",
            "requests,route execution_time=1 1",
            "requests,service=a execution_time=1 1",
            "errors,service=a request_id=\"1\" 1",
        ] {
            assert_eq!(scan(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(bytes: Vec<u8>) {
            scan(&bytes);
            scan(&[b"requests,".as_slice(), &bytes].concat());
            scan(&[b"errors,a=b ".as_slice(), &bytes].concat());
        }

        #[test]
        fn the_result_is_that_of_the_parser(
            route in "[a-z/{}<>\"', =]{1,12}[a-z]",
            extra in "[a-z ,=\"\\\\<]{0,12}",
            seconds in 0.0..1e3_f64,
        ) {
            let point = crate::point::DataPoint::new(REQUESTS)
                .with_tag(ROUTE, route.as_str())
                .with_field("a", extra.as_str())
                .with_field("z", extra)
                .with_field(EXECUTION_TIME, seconds)
                .with_time(5);
            let (types, values) = (Default::default(), crate::schema::cardinality::TagCardinality::new(10));
            let mut line = Vec::new();
            let tags = crate::line_protocol::StaticTags::new("shop", None, &Default::default());
            let limits = crate::settings::Limits::default();
            crate::line_protocol::encode_point(&point, 5, &tags, &limits, &types, &values, &mut line).expect("a point");
            let parsed = parse(&line).expect("canonical");
            let Some(ScannedLine::Request(request)) = scan(&line) else { panic!("not read: {line:?}") };
            prop_assert_eq!(Some(&*request.route), parsed.tag(ROUTE));
            prop_assert_eq!(parsed.field(EXECUTION_TIME).and_then(crate::point::Value::as_f64), Some(request.execution_time));
            prop_assert_eq!(&*request.service, "shop");
        }
    }

    #[test]
    fn the_cost_of_a_line_is_linear_in_its_length() {
        let pieces = ["requests,", "errors,", "route=a", ",service=b", " execution_time=1", ",a=\"\"", " 1"];
        crate::work::assert_linear(&pieces, |line| {
            scan(line.as_bytes());
            scan(format!("requests,route=a {line} 1").as_bytes());
            scan(format!("errors,route=a request_id=\"{line}\" 1").as_bytes());
        });
    }
}
