//! The route and method of a request as the database receives them, from a bounded set of values.

use std::{borrow::Cow, fmt, sync::Arc};

use http::{Extensions, Method, Request};

#[cfg(feature = "axum")]
use super::route_cache::{self, CachedRoute};
use super::{catch_panic::catch_panic, head::RequestHead};
use crate::record::{
    recorder::{Recorder, Resource},
    rollup::RouteKey,
};

/// The route of a request.
#[derive(Clone, Default)]
pub(crate) enum Route {
    /// No route is known. These requests count under one constant: the path is chosen by the client
    /// and must never become a tag.
    #[default]
    Unmatched,
    #[cfg(feature = "axum")]
    Matched(axum::extract::MatchedPath),
    /// Like `Matched`, with what is the same for all of its requests.
    #[cfg(feature = "axum")]
    Known(Arc<CachedRoute>),
    /// From a route function of the application.
    Named(Cow<'static, str>),
}

/// A function that names the route of a request, for services without axum.
pub(crate) type RouteFunction = Arc<dyn Fn(&RequestHead<'_>) -> Option<Cow<'static, str>> + Send + Sync>;

impl Route {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Unmatched => UNMATCHED,
            #[cfg(feature = "axum")]
            Self::Matched(path) => path.as_str(),
            #[cfg(feature = "axum")]
            Self::Known(known) => known.path.as_str(),
            Self::Named(name) => name,
        }
    }

    /// Reads the matched route that an outer router has found.
    #[inline(always)]
    pub(crate) fn matched(extensions: &Extensions, method: &'static str, recorder: &Recorder) -> Self {
        #[cfg(feature = "axum")]
        if let Some(path) = extensions.get::<axum::extract::MatchedPath>() {
            return match route_cache::find(path, method, recorder) {
                Some(known) => Self::Known(known),
                None => Self::Matched(path.clone()),
            };
        }
        let _ = (extensions, method, recorder);
        Self::Unmatched
    }

    /// Returns the route for the recorder, with the start of its lines if this monitor has encoded
    /// that.
    #[inline]
    pub(crate) fn resource(&self, monitor: u64, method: &'static str) -> Resource<'_> {
        let head = match self {
            #[cfg(feature = "axum")]
            Self::Known(known) => known.head_for(monitor, method),
            _ => {
                let _ = (monitor, method);
                None
            }
        };
        Resource { name: self.as_str(), head, is_named: matches!(self, Self::Named(_)) }
    }

    /// Returns [`resource`](Self::resource) for the monitor and the method with which the route was
    /// found.
    #[inline]
    pub(crate) fn own_resource(&self) -> Resource<'_> {
        let head = match self {
            #[cfg(feature = "axum")]
            Self::Known(known) => Some(known.own_head()),
            _ => None,
        };
        Resource { name: self.as_str(), head, is_named: matches!(self, Self::Named(_)) }
    }

    /// Returns the result of the application's function, or else the matched route. The function
    /// receives everything of the request except its body.
    #[inline(never)]
    pub(crate) fn named<B>(
        function: &RouteFunction,
        request: &Request<B>,
        method: &'static str,
        recorder: &Recorder,
    ) -> Self {
        // A function may name only a few paths, such as those below a nested service. The others
        // must keep their matched routes.
        catch_panic(&recorder.counters, || function(&RequestHead::of(request)))
            .flatten()
            .map_or_else(|| Self::matched(request.extensions(), method, recorder), Self::Named)
    }

    /// Returns the key under which rollups count requests of this route and method.
    #[inline]
    pub(crate) fn key(&self, method: &'static str) -> RouteKey<'_> {
        match self {
            #[cfg(feature = "axum")]
            Self::Known(known) => known.own_head().key(),
            _ => RouteKey::Text(method, self.as_str()),
        }
    }

    /// Returns the address of a matched route's text, or 0 for other routes. It distinguishes the
    /// route from the longer one that an inner router may find.
    #[inline]
    pub(crate) fn address(&self) -> usize {
        match self {
            #[cfg(feature = "axum")]
            Self::Matched(path) => path.as_str().as_ptr().addr(),
            #[cfg(feature = "axum")]
            Self::Known(known) => known.path.as_str().as_ptr().addr(),
            Self::Unmatched | Self::Named(_) => 0,
        }
    }

    /// Returns whether an inner router or layer may refine the route `outer` to this one.
    pub(crate) fn is_within(&self, outer: &str) -> bool {
        let rest = self.as_str().strip_prefix(outer.strip_suffix('/').unwrap_or(outer));
        outer == UNMATCHED || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    pub(crate) fn is_unmatched(&self) -> bool {
        matches!(self, Self::Unmatched)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

/// Returns the name of a standard method, and one constant for any other: a client may send any
/// word as a method.
#[inline]
pub(crate) fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => OTHER_METHOD,
    }
}

/// The resource of requests without a known route.
pub(crate) const UNMATCHED: &str = "unmatched";
/// The method of requests whose method is not defined by RFC 9110 or RFC 5789.
pub(crate) const OTHER_METHOD: &str = "OTHER";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_methods_are_named() {
        for known in ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE"] {
            assert_eq!(method_name(&known.parse().expect("a method")), known);
        }
        for unknown in ["get", "PURGE", "PROPFIND", "X\u{21}Y"] {
            assert_eq!(method_name(&unknown.parse().expect("a method")), "OTHER");
        }
    }

    #[test]
    fn a_longer_route_below_another_one_is_within_it_and_others_are_not() {
        for (inner, outer, expected) in [
            ("/api/items", "/api", true),
            ("/api/items", "/api/", true),
            ("/api/items", "/", true),
            ("/api", "/api", true),
            ("/api", "/api/", true),
            ("/api/items", UNMATCHED, true),
            ("/apis", "/api", false),
            ("/other/items", "/api", false),
            ("/api", "/api/items", false),
        ] {
            assert_eq!(Route::Named(inner.into()).is_within(outer), expected, "{inner} within {outer}");
        }
    }
}
