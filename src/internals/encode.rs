//! The encoder of request lines, without the clock, the stamp and the buffer.

use std::{collections::BTreeMap, hint::black_box, time::Duration};

use crate::{
    line_protocol::{Changes, RequestIdText, RequestLine, RequestTemplate, StaticTags},
    point::generated_id,
};

/// What the line is made of, beside `GET:/items/{id}` of the service `bench` with status 200.
#[derive(Clone, Copy, Debug)]
pub struct EncoderInput {
    /// Nanoseconds since the epoch.
    pub stamp: i64,
    /// How long the request took, in nanoseconds.
    pub nanoseconds: u64,
    /// The request's id.
    pub id: RequestIdSource,
    /// Whether the thread has the encoded route in its cache.
    pub cached_route: bool,
}

/// Where the request's id comes from.
#[derive(Clone, Copy, Debug)]
pub enum RequestIdSource {
    /// The layer generates it from this number.
    Generated(u64),
    /// The request brought it.
    Own(&'static str),
}

/// Returns a function that appends the line of `request` as the layer does.
pub fn encoder(request: EncoderInput) -> impl FnMut(&mut Vec<u8>) {
    let template = RequestTemplate::new(&StaticTags::new("bench", None, &BTreeMap::new()), true);
    let head = if request.cached_route { template.head("GET", "/items/{id}") } else { None };
    let id = match request.id {
        RequestIdSource::Generated(number) => RequestIdText::Generated(number),
        RequestIdSource::Own(id) => RequestIdText::Own(id.as_bytes()),
    };
    move |out| {
        let line = RequestLine {
            stamp: black_box(request.stamp),
            method: black_box("GET"),
            resource: black_box("/items/{id}"),
            head: head.as_ref(),
            status_code: black_box(200),
            request_id: black_box(id),
            execution_time: black_box(Duration::from_nanos(request.nanoseconds)),
            body: None,
            added: None,
        };
        let mut changes = Changes::default();
        template.encode_request(out, &line, None, &mut changes);
        assert!(changes.is_empty());
    }
}

/// Returns the id that the layer generates from `number` in this process.
pub fn generated_id(number: u64) -> String {
    String::from_utf8_lossy(&generated_id::text_of(number)).into_owned()
}
