//! The route and method of a request, as the database may see them: never more than the application
//! has.

use std::{borrow::Cow, fmt, sync::Arc};

use http::{Extensions, Method, Request};

#[cfg(feature = "axum")]
use super::route_cache::{self, CachedRoute};
use super::{catch_panic::catch_panic, head::RequestHead};
use crate::record::{
    recorder::{Recorder, Resource},
    rollup::RouteKey,
};

/// What is known of the place a request went to.
#[derive(Clone, Default)]
pub(crate) enum Route {
    /// Nothing, so it counts under one constant: its path is the client's choice and must never
    /// become a tag.
    #[default]
    Unmatched,
    #[cfg(feature = "axum")]
    Matched(axum::extract::MatchedPath),
    /// As `Matched`, with what is the same for all requests of it.
    #[cfg(feature = "axum")]
    Known(Arc<CachedRoute>),
    /// From a route function of the application's own.
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

    /// Reads the matched route that a router around the layer has found.
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

    /// Returns the route as the recorder takes it, with the start of its lines if this monitor has
    /// encoded that.
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

    /// Returns [`resource`](Self::resource) for the monitor and the method that the route was found
    /// for.
    #[inline]
    pub(crate) fn own_resource(&self) -> Resource<'_> {
        let head = match self {
            #[cfg(feature = "axum")]
            Self::Known(known) => Some(known.own_head()),
            _ => None,
        };
        Resource { name: self.as_str(), head, is_named: matches!(self, Self::Named(_)) }
    }

    /// Returns what the application's own function returns, else the matched route. The function
    /// sees all of the request but its body.
    #[inline(never)]
    pub(crate) fn named<B>(
        function: &RouteFunction,
        request: &Request<B>,
        method: &'static str,
        recorder: &Recorder,
    ) -> Self {
        // A function for a few paths, such as those below a nested service, must not take the
        // others' routes away.
        catch_panic(|| function(&RequestHead::of(request)))
            .flatten()
            .map_or_else(|| Self::matched(request.extensions(), method, recorder), Self::Named)
    }

    /// Returns what requests of the route and this method are counted by.
    #[inline]
    pub(crate) fn key(&self, method: &'static str) -> RouteKey<'_> {
        match self {
            #[cfg(feature = "axum")]
            Self::Known(known) => known.own_head().key(),
            _ => RouteKey::Text(method, self.as_str()),
        }
    }

    /// Returns where the text of a matched route is, to tell it from the longer one that a router
    /// further inside may find; 0 for others.
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

    /// Returns whether this can be what an inner router or layer knows better of a request whose
    /// route is `outer`.
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

/// Returns a standard method as it is, anything else as one constant: a client may send any word as
/// a method.
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

/// The resource of every request that no route is known for.
pub(crate) const UNMATCHED: &str = "unmatched";
/// The method of every request whose method is none of RFC 9110 and RFC 5789.
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
    fn a_longer_route_of_the_same_place_is_within_and_one_of_another_place_is_not() {
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
