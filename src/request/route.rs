//! The route and method of a request as the database receives them, from a bounded set of values.

use std::{borrow::Cow, fmt, sync::Arc};

use http::Method;

use super::head::RequestHead;
#[cfg(feature = "axum")]
use crate::record::known_routes::KnownRoute;
use crate::record::recorder::Resource;

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
    Known(Arc<KnownRoute>),
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
            Self::Known(known) => &known.name,
            Self::Named(name) => name,
        }
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
        Resource { head, ..self.resource_without_head() }
    }

    /// Returns the route for the recorder, without the start of its lines.
    #[inline]
    pub(crate) fn resource_without_head(&self) -> Resource<'_> {
        Resource { name: self.as_str(), head: None, is_named: matches!(self, Self::Named(_)) }
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
