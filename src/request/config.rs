//! The configuration of a layer, shared by all of its services and requests.

use std::{fmt, sync::Arc};

use http::HeaderName;

use super::{
    callbacks::LayerExtras,
    catch_panic::catch_panic,
    classify::{BodyOutcome, Classification, Classifier, Outcome, StatusClassifier},
    route::RouteFunction,
};
use crate::record::recorder::Recorder;

/// The configuration is behind a [`ShardedArc`](crate::sync::sharded_arc::ShardedArc), since it is
/// cloned for every request.
#[derive(Clone)]
pub(crate) struct LayerConfig {
    /// `None` for a disabled monitor.
    pub(crate) recorder: Option<Arc<Recorder>>,
    /// The monitors of outer layers. Only in the copy for one request, from
    /// [`within`](Self::within).
    pub(crate) around: Vec<Arc<Recorder>>,
    pub(crate) request_id_header: HeaderName,
    pub(crate) propagate_request_id: bool,
    pub(crate) insert_data: bool,
    pub(crate) track_body: bool,
    pub(crate) extras: Option<Arc<LayerExtras>>,
    /// `None` means [`StatusClassifier`], without a dynamic call.
    pub(crate) classifier: Option<Arc<dyn Classifier>>,
    pub(crate) route: Option<RouteFunction>,
    /// What of the above is set: one check at each place instead of four.
    pub(crate) options: Options,
}

/// The options of a layer that change the path of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options(u8);

impl Options {
    pub(crate) const SIZES: Self = Self(1);
    /// The trace comes from the header.
    pub(crate) const TRACE: Self = Self(2);
    /// The application has a function for requests.
    pub(crate) const ON_REQUEST: Self = Self(4);
    pub(crate) const ON_RESPONSE: Self = Self(8);
    /// Not only the status of a response matters: the layer has a classifier, or passes the id on.
    pub(crate) const JUDGED: Self = Self(16);

    /// Returns whether any of the others is set here.
    #[inline(always)]
    pub(crate) fn has(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Returns both together.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl LayerConfig {
    pub(crate) fn new(recorder: Option<Arc<Recorder>>) -> Self {
        let extras = recorder.as_deref().filter(|recorder| recorder.reads_traces).map(LayerExtras::of_traces);
        Self {
            recorder,
            around: Vec::new(),
            request_id_header: HeaderName::from_static("x-request-id"),
            propagate_request_id: false,
            insert_data: false,
            track_body: false,
            extras: extras.map(Arc::new),
            classifier: None,
            route: None,
            options: Options::default(),
        }
        .settled()
    }

    /// Updates the derived options. Must be called after each change.
    pub(crate) fn settled(self) -> Self {
        let mut set = vec![(Options::JUDGED, self.classifier.is_some() || self.propagate_request_id)];
        if let Some(extras) = &self.extras {
            set.extend([
                (Options::SIZES, extras.sizes),
                (Options::TRACE, extras.trace_id.is_header()),
                (Options::ON_REQUEST, extras.calls_for_requests()),
                (Options::ON_RESPONSE, extras.on_response.is_some()),
            ]);
        }
        let set = set.into_iter().filter(|(_, is_set)| *is_set);
        Self { options: Options(set.fold(0, |bits, (option, _)| bits | option.0)), ..self }
    }

    /// Returns the configuration for a request that another monitor records already.
    #[cold]
    pub(crate) fn within(&self, outer: &Self) -> Self {
        let around = outer.around.iter().chain(&outer.recorder).cloned().collect();
        Self { around, ..self.clone() }
    }

    /// Warns about options that have no effect: the layer is inside another one of the same
    /// monitor, which classifies and tracks the request already.
    pub(crate) fn warn_of_ignored_options(&self) {
        if let Some(recorder) =
            self.recorder.as_ref().filter(|_| self.classifier.is_some() || self.track_body)
        {
            recorder.ignored_options.warn();
        }
    }

    #[inline(always)]
    pub(crate) fn classify(&self, outcome: &Outcome<'_>) -> Classification {
        match &self.classifier {
            None => StatusClassifier.classify(outcome),
            Some(classifier) => self
                .call(|| classifier.classify(outcome))
                .unwrap_or_else(|| StatusClassifier.classify(outcome)),
        }
    }

    pub(crate) fn classify_body(&self, head: Classification, body: &BodyOutcome<'_>) -> Classification {
        match &self.classifier {
            None => StatusClassifier.classify_body(head, body),
            Some(classifier) => self
                .call(|| classifier.classify_body(head.clone(), body))
                .unwrap_or_else(|| StatusClassifier.classify_body(head, body)),
        }
    }

    /// Calls a function of the application. `None` if it panics, and for a disabled monitor, which
    /// has no requests to ask about.
    #[inline]
    fn call<R>(&self, run: impl FnOnce() -> R) -> Option<R> {
        self.recorder.as_ref().and_then(|recorder| catch_panic(&recorder.counters, run))
    }
}

impl fmt::Debug for LayerConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LayerConfig")
            .field("enabled", &self.recorder.is_some())
            .field("request_id_header", &self.request_id_header)
            .field("propagate_request_id", &self.propagate_request_id)
            .field("insert_data", &self.insert_data)
            .finish_non_exhaustive()
    }
}
