//! The layers that an application adds to a client.

use std::{borrow::Cow, error::Error, sync::Arc};

use http::{HeaderMap, HeaderName, StatusCode};
use tower::Layer;

use super::{
    config::ClientConfig,
    service::{ClientService, TrackBodyClientService},
};
use crate::{point::error_code::ErrorCode, record::recorder::Recorder, request, request::head::RequestHead};

/// Records every call that a client makes through it, however it ends: with a response, an error, a
/// panic, or dropped before its response.
///
/// Made by [`Monitor::client_layer`](crate::Monitor::client_layer). Each call is a point in
/// `client_requests`, each failed one a second point in `client_errors`. Inside a handler the layer
/// leaves the route and the data of the handler's own request alone; its points carry that
/// request's id.
///
/// Put it inside of a retry layer to record each attempt, outside to record the call as a whole.
///
/// # Cost
///
/// Some allocations for each call and each point. A layer of a disabled monitor passes calls
/// through.
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

    /// Names the route of a call, a template such as `/invoices/{id}`. The tag `route` is then
    /// `GET:/invoices/{id}`. Without a function, where it returns `None`, and where it panics, the
    /// tag is the method alone.
    ///
    /// # Cardinality
    ///
    /// The name becomes a tag: never return a path. Distinct values are capped by
    /// [`tag_values`](crate::settings::Limits::tag_values), with the overflow value `other` beyond.
    pub fn route<F>(self, function: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> Option<Cow<'static, str>> + Send + Sync + 'static,
    {
        self.with(|config| config.route = Some(Arc::new(function)))
    }

    /// Gives errors of the client's type `E` an error code. `None`, or a panic, leaves the code to
    /// the defaults: `connect`, `timeout`, or `client_error`. May be called for several types.
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

    /// Says which responses failed beside those of 400 and above, and with which error code: a gRPC
    /// status in the head, for instance. `None`, or a panic, leaves it to the status.
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

    /// Tells the layer that the client's errors are of type `E`, so that the defaults can look at
    /// their sources.
    ///
    /// Boxed errors, `std::io::Error` and, with feature `reqwest`, `reqwest::Error` need no call.
    pub fn error_type<E: Error + 'static>(self) -> Self {
        self.with(|config| {
            config
                .as_error
                .push(|error| error.downcast_ref::<E>().map(|error| error as &(dyn Error + 'static)));
        })
    }

    /// Sends the id of the handler's own request along in this header, unless the call has one
    /// already. Defaults to off. Outside of a request nothing is added.
    pub fn propagate_request_id(self, header: HeaderName) -> Self {
        self.with(|config| config.request_id_header = Some(header))
    }

    /// Sends the `traceparent` and `tracestate` of the handler's own request along as they came,
    /// unless the call has a `traceparent` already. Defaults to false.
    ///
    /// The layer of the server must read them:
    /// [`MonitoringLayer::trace_id`](crate::MonitoringLayer::trace_id). Leave it off where a
    /// tracing library starts a span for each call, and sends a `traceparent` of its own.
    pub fn propagate_trace(self, propagate: bool) -> Self {
        if propagate {
            request::keep_trace_headers();
        }
        self.with(|config| config.passes_trace_on = propagate)
    }

    /// Follows the response's body to its end, and adds fields for the time to its last byte, its
    /// bytes and how it ended. The points are then written at that end; `execution_time` keeps its
    /// meaning, the time to the head.
    ///
    /// The response's body becomes a [`ClientBody`](super::ClientBody).
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

/// A [`ClientLayer`] that follows the response's body to its end. Made by
/// [`ClientLayer::track_body`], after all other options.
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
