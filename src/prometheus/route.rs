//! The route for applications without a registry.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use prometheus_client::{
    encoding::{prometheus_text, text},
    registry::Registry,
};

use super::MonitorCollector;

pub(super) fn route(collector: MonitorCollector) -> MethodRouter {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(collector));
    let registry = Arc::new(registry);
    get(move |headers: HeaderMap| {
        let answer = scrape(&registry, &headers);
        async { answer }
    })
}

fn scrape(registry: &Registry, headers: &HeaderMap) -> Response {
    let mut body = String::new();
    let (encoded, kind) = match wants_open_metrics(headers) {
        true => (text::encode(&mut body, registry), OPEN_METRICS),
        false => (prometheus_text::encode(&mut body, registry), TEXT),
    };
    match encoded {
        Ok(()) => ([(header::CONTENT_TYPE, kind)], body).into_response(),
        // Writing into a string fails only if a metric returns an error, and ours do not.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let is_named =
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"));
        is_named
            && !parts.any(|part| matches!(part.split_once('='), Some(("q", "0" | "0.0" | "0.00" | "0.000"))))
    })
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_a_header_is_linear_in_its_length() {
        crate::work::assert_linear(&[";", ";q=0", "application/openmetrics-text", "*/*"], |text| {
            let value = header::HeaderValue::from_bytes(text.as_bytes());
            let headers = value.into_iter().map(|value| (header::ACCEPT, value)).collect();
            wants_open_metrics(&headers);
        });
    }
}
