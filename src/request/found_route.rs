//! The route that a layer has found for a request.

use http::Request;

#[cfg(feature = "axum")]
use super::route_cache;
use super::{
    catch_panic::catch_panic,
    config::LayerConfig,
    head::RequestHead,
    route::{Route, RouteFunction},
};
#[cfg(feature = "axum")]
use crate::record::known_routes::KnownNumber;
use crate::record::{
    recorder::{Recorder, Resource},
    rollup::RouteKey,
};

/// The route of a running request. Most requests have a known one, and keep only its number.
#[derive(Debug)]
pub(crate) enum FoundRoute {
    #[cfg(feature = "axum")]
    Known(KnownNumber),
    Other(Route),
}

impl FoundRoute {
    /// Finds the route of a request. Also returns the address of a matched path, or 0: it
    /// distinguishes the route from the longer one that an inner router may find.
    #[inline(always)]
    pub(crate) fn find<B>(
        config: &LayerConfig,
        recorder: &Recorder,
        request: &Request<B>,
        method: &'static str,
    ) -> (Self, usize) {
        match &config.route {
            None => Self::matched(request, method, recorder),
            Some(function) => Self::named(function, request, method, recorder),
        }
    }

    /// Reads the matched route that an outer router has found.
    #[inline(always)]
    pub(crate) fn matched<B>(
        request: &Request<B>,
        method: &'static str,
        recorder: &Recorder,
    ) -> (Self, usize) {
        #[cfg(feature = "axum")]
        if let Some(path) = request.extensions().get::<axum::extract::MatchedPath>() {
            let found = match route_cache::find(path, method, recorder) {
                Some(known) => Self::Known(known),
                None => Self::Other(Route::Matched(path.clone())),
            };
            return (found, path.as_str().as_ptr().addr());
        }
        let _ = (request, method, recorder);
        (Self::Other(Route::Unmatched), 0)
    }

    /// Returns the result of the application's function, or else the matched route. The function
    /// receives everything of the request except its body.
    #[inline(never)]
    fn named<B>(
        function: &RouteFunction,
        request: &Request<B>,
        method: &'static str,
        recorder: &Recorder,
    ) -> (Self, usize) {
        // A function may name only a few paths, such as those below a nested service. The others
        // must keep their matched routes.
        match catch_panic(&recorder.counters, || function(&RequestHead::of(request))).flatten() {
            Some(name) => (Self::Other(Route::Named(name)), 0),
            None => Self::matched(request, method, recorder),
        }
    }

    #[inline]
    pub(crate) fn is_unmatched(&self) -> bool {
        matches!(self, Self::Other(Route::Unmatched))
    }

    /// Returns the key under which rollups count requests of this route and method.
    #[inline]
    pub(crate) fn key(&self, method: &'static str) -> RouteKey<'_> {
        match self {
            #[cfg(feature = "axum")]
            Self::Known(known) => RouteKey::Known(known.rollup),
            Self::Other(route) => RouteKey::Text(method, route.as_str()),
        }
    }

    /// Returns the route for the recorder that it was found with.
    #[inline]
    pub(crate) fn resource<'a>(&'a self, recorder: &'a Recorder) -> Resource<'a> {
        let _ = recorder;
        match self {
            #[cfg(feature = "axum")]
            Self::Known(known) => match recorder.routes.get(known.route) {
                Some(known) => Resource { name: &known.name, head: Some(&known.head), is_named: false },
                // Unreachable: known routes are never removed.
                None => Route::Unmatched.resource_without_head(),
            },
            Self::Other(route) => route.resource_without_head(),
        }
    }

    /// Returns the name of the route, or `None` if no route is known.
    #[inline(always)]
    pub(crate) fn name<'a>(&'a self, recorder: &'a Recorder) -> Option<&'a str> {
        (!self.is_unmatched()).then(|| self.resource(recorder).name)
    }

    /// Returns a route that does not depend on the request.
    #[cold]
    pub(crate) fn to_route(&self, recorder: &Recorder) -> Route {
        let _ = recorder;
        match self {
            #[cfg(feature = "axum")]
            Self::Known(known) => recorder
                .routes
                .get(known.route)
                .map_or_else(Route::default, |known| Route::Known(known.clone())),
            Self::Other(route) => route.clone(),
        }
    }
}
