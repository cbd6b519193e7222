//! The router of the page, which an application nests.

use std::sync::Arc;

use axum::{
    Router,
    extract::{
        MatchedPath, NestedPath, RawPathParams, RawQuery, State,
        rejection::{MatchedPathRejection, NestedPathRejection, RawPathParamsRejection},
    },
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{
    observer::Observer,
    page::{self, Choice},
};
use crate::{licensing::LicenseWatch, monitor::Monitor};

/// Creates the live page of a monitor without a licence, as [`LivePage::new`] and
/// [`LivePage::router`] do together.
pub fn router(monitor: &Monitor) -> Router {
    LivePage::new(monitor).router()
}

/// Creates the router of the live page.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use tower_influx::{Monitor, Settings, live::LivePage};
///
/// # fn run() -> Result<(), tower_influx::Error> {
/// let monitor = Monitor::start(Settings::new("my-service"))?;
/// let app: Router = Router::new()
///     .route("/version", get(|| async { "1.0" }))
///     .layer(monitor.layer())
///     .nest_service("/monitoring", LivePage::new(&monitor).router()); // not monitored itself
/// # Ok(())
/// # }
/// ```
///
/// The router is a handle to the monitor, as its layers are. Observing starts with
/// [`router`](Self::router), and ends when the router and its clones are dropped.
#[derive(Clone, Debug)]
#[must_use = "nothing is served before `router`"]
pub struct LivePage {
    monitor: Monitor,
    license: Option<LicenseWatch>,
}

impl LivePage {
    /// Creates the page of this monitor. For a disabled monitor the page is empty.
    pub fn new(monitor: &Monitor) -> Self {
        Self { monitor: monitor.clone(), license: None }
    }

    /// Adds the latest result of this licence check. The page holds the watch, so the checks
    /// continue as long as the router exists.
    pub fn license(mut self, watch: &LicenseWatch) -> Self {
        self.license = Some(watch.clone());
        self
    }

    /// Creates the router: the page at `/`, and the same data as JSON at `/stats`.
    ///
    /// Add it with [`Router::nest_service`], outside of the monitored routes and behind the
    /// authentication of the service. The page then answers with and without a trailing slash. With
    /// [`Router::nest`], axum serves only the path without a trailing slash, and answers 404
    /// otherwise.
    ///
    /// Create the router before the server accepts requests: the page does not show what was
    /// recorded before. If points go to files, the list of files is read here, and up to 16 MiB of
    /// the newest ones in the background.
    pub fn router(self) -> Router {
        let observer = Arc::new(Observer::start(self.monitor, self.license));
        Router::new()
            .route("/", get(show_page))
            .route("/stats", get(show_stats))
            .route("/style.css", get(|| async { asset("text/css; charset=utf-8", STYLE) }))
            .route("/icon.svg", get(|| async { asset("image/svg+xml", ICON) }))
            .with_state(observer)
    }
}

async fn show_page(
    State(observer): State<Arc<Observer>>,
    nested: Result<NestedPath, NestedPathRejection>,
    matched: Result<MatchedPath, MatchedPathRejection>,
    parameters: Result<RawPathParams, RawPathParamsRejection>,
    RawQuery(query): RawQuery,
) -> Response {
    // The page is at `/monitoring`, usually without a slash at the end. Its links are relative to
    // that, since a proxy may serve it under another path.
    let has_slash =
        |path: &NestedPath| matched.as_ref().is_ok_and(|matched| has_slash(path.as_str(), matched.as_str()));
    let nested = nested.ok().filter(|path| !has_slash(path));
    let place = nested.and_then(|path| {
        let last = path.as_str().rsplit('/').next()?;
        // A parameter of the path is replaced by its value in the request.
        let name = last.strip_prefix('{').and_then(|last| last.strip_suffix('}'));
        let value = name.zip(parameters.as_ref().ok()).and_then(|(name, parameters)| {
            parameters.iter().find_map(|(key, value)| (key == name).then(|| encoded(value)))
        });
        Some(value.unwrap_or_else(|| last.to_owned()) + "/")
    });
    page(&observer, &place.unwrap_or_default(), query.as_deref())
}

/// Returns whether the request's path ended with a slash. Links then need no prefix.
///
/// axum's matched path shows it: `nest_service` appends the inner path `/` to its own, which ends
/// with a slash or not.
fn has_slash(nested: &str, matched: &str) -> bool {
    nested.ends_with('/') || matched.ends_with("//")
}

/// Encodes one segment of a path for a URL.
fn encoded(segment: &str) -> String {
    let byte = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    segment.bytes().map(byte).collect()
}

fn page(observer: &Observer, place: &str, query: Option<&str>) -> Response {
    match page::render(&observer.snapshot(), place, Choice::from_query(query.unwrap_or_default())) {
        Ok(html) => secured([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html),
        Err(error) => failed(&error),
    }
}

async fn show_stats(State(observer): State<Arc<Observer>>) -> Response {
    match serde_json::to_string(&observer.snapshot()) {
        Ok(json) => secured([(header::CONTENT_TYPE, "application/json")], json),
        Err(error) => failed(&error),
    }
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    secured([(header::CONTENT_TYPE, kind)], text)
}

fn secured(kind: [(header::HeaderName, &'static str); 1], body: impl IntoResponse) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (kind, headers, body).into_response()
}

fn failed(error: &dyn std::error::Error) -> Response {
    tracing::error!(
        target: "tower_influx",
        %error,
        "live page cannot be rendered: no point is affected; this is a bug: please report it"
    );
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// Forbids scripts, and resources from other origins.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
const STYLE: &str = include_str!("page.css");
const ICON: &str = include_str!("icon.svg");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_a_path_is_linear_in_its_length() {
        crate::work::assert_linear(&["/", "{", "}"], |path| {
            encoded(path);
            has_slash(path, path);
        });
    }
}
