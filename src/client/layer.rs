//! The layers that an application adds to a client.

use std::{borrow::Cow, error::Error, sync::Arc};

use http::{HeaderMap, HeaderName, StatusCode};
use tower::Layer;

use super::{
    config::ClientConfig,
    service::{ClientService, TrackBodyClientService},
};
use crate::{point::error_code::ErrorCode, record::recorder::Recorder, request, request::head::RequestHead};

/// Records every call that passes through the layer, however the call ends. It can end with a
/// response, an error or a panic, or be dropped before its response.
///
/// Created by [`Monitor::client_layer`](crate::Monitor::client_layer). Each call is a point in
/// `client_requests`. A failed call is also a point in `client_errors`. In a handler, the points
/// have the id of the handler's request. The layer changes neither the route nor the data of that
/// request.
///
/// Put the layer inside a retry layer to record each attempt, or outside to record the call as a
/// whole.
///
/// # Cost
///
/// A few allocations for each call: 9 in the
/// [benchmark](crate::docs::performance#beside-the-peers). A layer of a disabled monitor only
/// passes calls on.
///
/// ```
/// use http::{Request, Response};
/// use tower::{Layer, service_fn};
///
/// # let monitor = tower_influx::Monitor::disabled();
/// # let client = service_fn(async |_: Request<String>| Ok::<_, std::io::Error>(Response::new(String::new())));
/// let client = monitor
///     .client_layer("payments")
///     .route(|request| request.uri.path().starts_with("/invoices/").then(|| "/invoices/{id}".into()))
///     .layer(client);
/// # let _ = client;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientLayer {
    /// `None` for a disabled monitor.
    config: Option<Arc<ClientConfig>>,
}

impl ClientLayer {
    pub(crate) fn new(recorder: Option<Arc<Recorder>>, target: Cow<'static, str>) -> Self {
        let config = recorder.map(|recorder| {
            let counters = recorder.targets.of(target.clone());
            Arc::new(ClientConfig {
                counters,
                target,
                recorder,
                route: None,
                classify_response: None,
                classify: Vec::new(),
                as_error: Vec::new(),
                request_id_header: None,
                passes_trace_on: false,
            })
        });
        Self { config }
    }

    /// Sets a function that names the route of a call, as a template such as `/invoices/{id}`. The
    /// tag `route` is then `GET:/invoices/{id}`. Without a function, or if it returns `None` or
    /// panics, the tag is only the method.
    ///
    /// # Cardinality
    ///
    /// The name becomes a tag, so never return a path. The number of distinct routes is capped by
    /// [`tag_values`](crate::settings::Limits::tag_values). Further ones get the overflow value
    /// `other`.
    pub fn route<F>(self, function: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> Option<Cow<'static, str>> + Send + Sync + 'static,
    {
        self.with(|config| config.route = Some(Arc::new(function)))
    }

    /// Sets a function that returns the error code of the client's errors of type `E`. If it
    /// returns `None` or panics, the default code is used: `connect`, `timeout` or `client_error`.
    /// An empty code becomes `client_error`. Can be called for several types.
    ///
    /// ```
    /// # let monitor = tower_influx::Monitor::disabled();
    /// let layer = monitor
    ///     .client_layer("payments")
    ///     .classify_error(|error: &std::io::Error| (error.raw_os_error() == Some(24)).then(|| "too_many_files".into()));
    /// ```
    pub fn classify_error<E: 'static>(
        self,
        function: impl Fn(&E) -> Option<ErrorCode> + Send + Sync + 'static,
    ) -> Self {
        self.with(|config| {
            config.classify.push(Arc::new(move |error| error.downcast_ref::<E>().and_then(&function)));
        })
    }

    /// Sets a function that returns an error code for a response that failed. Use it for failures
    /// with a status below 400, such as a gRPC status in the head. If it returns `None` or panics,
    /// a status of 400 and above is a failure. An empty code becomes the status.
    ///
    /// ```
    /// # let monitor = tower_influx::Monitor::disabled();
    /// let layer = monitor.client_layer("greeter").classify_response(|_, headers| {
    ///     let status = headers.get("grpc-status")?.to_str().ok()?;
    ///     (status != "0").then(|| status.to_owned().into())
    /// });
    /// ```
    pub fn classify_response(
        self,
        function: impl Fn(StatusCode, &HeaderMap) -> Option<ErrorCode> + Send + Sync + 'static,
    ) -> Self {
        self.with(|config| config.classify_response = Some(Arc::new(function)))
    }

    /// Declares that the client's errors have the type `E`, so that the default error codes can be
    /// found by their sources.
    ///
    /// Boxed errors, `std::io::Error` and, with feature `reqwest`, `reqwest::Error` need no call.
    pub fn error_type<E: Error + 'static>(self) -> Self {
        self.with(|config| {
            config
                .as_error
                .push(|error| error.downcast_ref::<E>().map(|error| error as &(dyn Error + 'static)));
        })
    }

    /// Adds the id of the handler's request to the call, in this header, unless the call already
    /// has it. Off by default. Outside of a monitored request, nothing is added.
    pub fn propagate_request_id(self, header: HeaderName) -> Self {
        self.with(|config| config.request_id_header = Some(header))
    }

    /// Sets whether the headers `traceparent` and `tracestate` of the handler's request are added
    /// to the call, unless the call already has a `traceparent`. Defaults to false.
    ///
    /// The layer of the server must read these headers:
    /// [`MonitoringLayer::trace_id`](crate::MonitoringLayer::trace_id). Leave this option off if a
    /// tracing library starts a span for each call and sends its own `traceparent`.
    pub fn propagate_trace(self, propagate: bool) -> Self {
        if propagate {
            request::keep_trace_headers();
        }
        self.with(|config| config.passes_trace_on = propagate)
    }

    /// Follows the body of the response to its end. Adds fields for the time to its last byte, its
    /// bytes and how it ended. The points are written at that end. `execution_time` is still the
    /// time to the head of the response.
    ///
    /// The response gets the body type [`ClientBody`](super::ClientBody).
    pub fn track_body(self) -> TrackBodyClientLayer {
        TrackBodyClientLayer { config: self.config }
    }

    fn with(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        if let Some(config) = &mut self.config {
            change(Arc::make_mut(config));
        }
        self
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = ClientService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientService::new(inner, self.config.clone())
    }
}

/// A [`ClientLayer`] that follows the body of the response to its end. Created by
/// [`ClientLayer::track_body`], after all other options are set.
#[derive(Clone, Debug)]
#[must_use]
pub struct TrackBodyClientLayer {
    config: Option<Arc<ClientConfig>>,
}

impl<S> Layer<S> for TrackBodyClientLayer {
    type Service = TrackBodyClientService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TrackBodyClientService::new(inner, self.config.clone())
    }
}
