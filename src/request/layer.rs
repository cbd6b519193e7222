//! The layers: what an application adds to its router.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderName, request::Parts};
use tower::Layer;

use super::{
    classify::Classifier,
    config::LayerConfig,
    service::{MonitoringService, TrackBodyService},
};
use crate::{
    record::{misplaced, recorder::Recorder},
    sync::sharded_arc::ShardedArc,
};

/// Records every request that reaches it, however it ends: with a response, an error, a panic, or not at all.
///
/// Made by [`Monitor::layer`](crate::Monitor::layer). In axum add it last with `Router::layer`, so that it is around every
/// route; routes and fallbacks that are added after it are not seen.
///
/// Two layers of one monitor around one request make one point: the inner one only tells the better route, and its classifier
/// and body tracking have no effect. Two layers of different monitors make a point each. A request that a handler makes in
/// process is another one, with a point of its own: see [requests](crate::docs::requests).
///
/// # Cost
///
/// Cloning it and adding it to a service copy a pointer, and its options once for each shard of threads that clones it. See [performance](crate::docs::performance) for what a request
/// pays.
#[derive(Clone, Debug)]
#[must_use]
pub struct MonitoringLayer {
    config: ShardedArc<LayerConfig>,
}

impl MonitoringLayer {
    pub(crate) fn new(recorder: Option<Arc<Recorder>>) -> Self {
        if recorder.is_none() {
            misplaced::note_disabled();
        }
        Self { config: ShardedArc::new(LayerConfig::new(recorder)) }
    }

    /// Replaces the rule that says which requests failed, with which status and error code. Defaults to
    /// [`StatusClassifier`](crate::classify::StatusClassifier), which also judges where the classifier panics.
    pub fn classifier(self, classifier: impl Classifier) -> Self {
        self.with(|config| config.classifier = Some(Arc::new(classifier)))
    }

    /// Names the route of requests: in a service without axum, around a whole router, below `nest_service`, or on the client
    /// side of a proxy. The name that the function returns wins over axum's matched path. With `None`, or a panic, the route is
    /// the matched path, or the constant of requests without a route.
    ///
    /// # Cardinality
    ///
    /// The name becomes a tag. Return templates such as `/items/{id}`, never a path as the client wrote it. Distinct names
    /// are capped as the values of extra tags are, with the same overflow value.
    ///
    /// ```
    /// # let monitor = tower_influx::Monitor::disabled();
    /// let layer = monitor.layer().route(|request| match request.uri.path() {
    ///     "/version" => Some("/version".into()),
    ///     path if path.starts_with("/items/") => Some("/items/{id}".into()),
    ///     _ => None,
    /// });
    /// ```
    pub fn route<F>(self, function: F) -> Self
    where
        F: Fn(&Parts) -> Option<Cow<'static, str>> + Send + Sync + 'static,
    {
        self.with(|config| config.route = Some(Arc::new(function)))
    }

    /// The header that a request brings its id in. Defaults to `x-request-id`. Of layers of different monitors around one
    /// request, only the outermost one's is read: their points carry one id.
    pub fn request_id_header(self, name: HeaderName) -> Self {
        self.with(|config| config.request_id_header = name)
    }

    /// Whether the response carries the request's id, in the same header, unless it has one already. Defaults to false.
    /// Costs an allocation where the id was given by the layer.
    pub fn propagate_request_id(self, propagate: bool) -> Self {
        self.with(|config| config.propagate_request_id = propagate)
    }

    /// Whether [`MonitoringData`](crate::MonitoringData) is put into the extensions of every request. Defaults to false.
    ///
    /// Only needed where a middleware between this layer and the handler moves the request to another task, with
    /// `tokio::spawn` or tower's `Buffer`: the extractor and an inner layer of the same monitor find nothing there
    /// otherwise. Costs three or four allocations a request.
    pub fn insert_data(self, insert: bool) -> Self {
        self.with(|config| config.insert_data = insert)
    }

    /// Waits for the end of the response's body, and adds fields for the time to its last byte, for the bytes sent and for
    /// how it ended. The points are then written at that end; `execution_time` keeps its meaning, the time to the head.
    ///
    /// The response's body becomes a [`ResponseBody`](crate::ResponseBody).
    pub fn track_body(self) -> TrackBodyLayer {
        TrackBodyLayer { config: self.with(|config| config.track_body = true).config }
    }

    fn with(self, change: impl FnOnce(&mut LayerConfig)) -> Self {
        let mut config = LayerConfig::clone(&self.config);
        change(&mut config);
        Self { config: ShardedArc::new(config) }
    }
}

impl<S> Layer<S> for MonitoringLayer {
    type Service = MonitoringService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MonitoringService::new(inner, self.config.clone())
    }
}

/// A [`MonitoringLayer`] that follows the response's body to its end. Made by
/// [`MonitoringLayer::track_body`], after all other options.
#[derive(Clone, Debug)]
#[must_use]
pub struct TrackBodyLayer {
    config: ShardedArc<LayerConfig>,
}

impl<S> Layer<S> for TrackBodyLayer {
    type Service = TrackBodyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TrackBodyService::new(inner, self.config.clone())
    }
}
