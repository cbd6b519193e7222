//! Identity of requests: whether an inner layer sees the request of an outer one, or another one
//! that was made meanwhile.

#[cfg(feature = "axum")]
use axum::extract::MatchedPath;
use http::{Extensions, HeaderMap, Request, Uri, uri::PathAndQuery};

/// Distinguishes a request from another one that its handler makes.
///
/// A request moves through layers with the text of its path at one address. A request that a
/// handler makes has a text of its own, even if both are equal. Only the address is kept, since
/// holding the text would cost an allocation. A new text may get the address of a dropped one. It
/// then differs in its length or its last bytes.
///
/// All requests for `/` may share one constant. They are distinguished by the address of their
/// first header.
///
/// The identity moves to the thread and back for each poll, so each of its parts is as short as
/// possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The address of the text, or of the first header.
    text: u32,
    /// The last bytes of the text.
    tail: u32,
    length: u16,
    /// The address of the authority, or 0 for none. A request that is sent on to another host may
    /// have the same path.
    authority: u16,
    route: u32,
}

impl Identity {
    /// Returns the identity of a request with a matched route at this address. See
    /// [`Route::address`](super::route::Route::address).
    #[inline]
    pub(crate) fn of<B>(request: &Request<B>, route: usize) -> Self {
        Self::at(request.uri(), request.headers(), route)
    }

    #[inline]
    fn at(uri: &Uri, headers: &HeaderMap, route: usize) -> Self {
        let path = uri.path_and_query().map_or("", PathAndQuery::as_str);
        let text = if path.len() > 1 { path.as_ptr().addr() } else { first_value(headers) };
        let authority = uri.authority().map_or(0, |authority| authority.as_str().as_ptr().addr() | 1);
        Self {
            text: text as u32,
            tail: tail(path.as_bytes()),
            length: path.len() as u16,
            authority: authority as u16,
            route: route as u32,
        }
    }

    /// Returns whether the matched route at this address was known when the exchange began.
    #[inline]
    pub(crate) fn has_route(self, address: usize) -> bool {
        self.route == address as u32
    }

    /// Returns whether these are parts of the same request in an inner layer.
    #[inline(never)]
    pub(crate) fn is_of(self, uri: &Uri, headers: &HeaderMap, extensions: &Extensions) -> bool {
        let inner = Self { route: self.route, ..Self::at(uri, headers, 0) };
        self == inner || inner.authority == self.authority && self.is_nested(inner, uri, extensions)
    }

    /// Returns whether the path is this request's path without the prefix of a nesting router,
    /// which creates a new text.
    ///
    /// The matched path still has the prefix, so the path does not fit it. Below `nest` the outer
    /// layer has the same matched path. Below `nest_service` the outer layer has none, and the
    /// inner one may have none either.
    fn is_nested(self, inner: Self, uri: &Uri, extensions: &Extensions) -> bool {
        #[cfg(feature = "axum")]
        {
            let matched = extensions.get::<MatchedPath>().map(MatchedPath::as_str);
            let fits = matched.is_some_and(|template| fits(template, uri.path()));
            let route = matched.map_or(0, |template| template.as_ptr().addr());
            let is_end = inner.length < self.length && self.ends_with(inner);
            match uri.path() {
                // The path was only the prefix, which the outer router matches.
                "/" => self.length > 1 && matched.is_some() && !fits,
                _ => is_end && !fits && (self.route == 0 || self.has_route(route)),
            }
        }
        #[cfg(not(feature = "axum"))]
        {
            let _ = (inner, uri, extensions);
            false
        }
    }

    #[cfg(feature = "axum")]
    fn ends_with(self, inner: Self) -> bool {
        let bits = u32::from(inner.length.min(4)) * 8;
        let mask = u32::MAX.checked_shr(u32::BITS - bits).unwrap_or(0);
        self.tail & mask == inner.tail
    }
}

/// Reads the last four bytes as a number, or all of them if there are fewer.
#[inline]
fn tail(text: &[u8]) -> u32 {
    match text.last_chunk() {
        Some(last) => u32::from_be_bytes(*last),
        None => text.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)),
    }
}

#[cold]
fn first_value(headers: &HeaderMap) -> usize {
    headers.values().next().map_or(0, |value| value.as_bytes().as_ptr().addr())
}

/// Returns whether axum matches this path with this template.
#[cfg(feature = "axum")]
fn fits(template: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for expected in template.split('/') {
        if expected.starts_with("{*") {
            return true;
        }
        match segments.next() {
            Some(segment) if expected.contains('{') || expected == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn is_same(first: &Request<()>, second: &Request<()>) -> bool {
        let identity = Identity::of(first, 0);
        identity.is_of(second.uri(), second.headers(), second.extensions())
    }

    fn request(uri: &str) -> Request<()> {
        let request = Request::builder().uri(uri).header("host", "test");
        request.body(()).expect("a valid request")
    }

    #[test]
    fn a_request_keeps_its_identity_when_it_moves() {
        for uri in ["/", "/status", "/status?full", "http://test/", "http://test/status", "*"] {
            let mut request = request(uri);
            let identity = Identity::of(&request, 0);
            request.headers_mut().extend((0..50).map(|number| {
                let name = format!("x-{number}").parse::<http::HeaderName>().expect("a name");
                (name, HeaderValue::from(number))
            }));
            let moved = Box::new(request);
            assert!(identity.is_of(moved.uri(), moved.headers(), moved.extensions()), "{uri}");
        }
    }

    #[test]
    fn another_request_has_another_identity_even_with_an_equal_path() {
        for first in ["/", "/status", "http://test/status"] {
            for second in ["/", "/status", "/health", "http://test/status", "http://elsewhere/status"] {
                assert!(!is_same(&request(first), &request(second)), "{first} and {second}");
            }
        }
    }

    #[test]
    fn requests_without_headers_are_distinguished_by_their_path() {
        let request = || Request::builder().uri("/status").body(()).expect("a valid request");
        let (first, second) = (request(), request());
        assert!(is_same(&first, &first) && !is_same(&first, &second));
    }

    #[test]
    fn another_path_at_the_same_address_is_another_request() {
        for number in 0..1_000 {
            let first = request("/status");
            let identity = Identity::of(&first, 0);
            drop(first);
            let second = request(&format!("/health{}", number % 3));
            assert!(!identity.is_of(second.uri(), second.headers(), second.extensions()), "{number}");
        }
    }

    #[cfg(feature = "axum")]
    #[test]
    fn a_request_without_the_prefix_of_a_nesting_router_is_the_same_request() {
        for (outer, inner, expected) in [
            ("/files/items/7", "/items/7", true),
            ("/files/7", "/7", true),
            ("/files/7?all", "/7?all", true),
            ("/files/items/7", "/items/8", false),
            ("/items/7", "/files/items/7", false),
            ("/items/7", "/items/7", false),
        ] {
            assert_eq!(is_same(&request(outer), &request(inner)), expected, "{outer} {inner}");
        }
        assert!(!is_same(&request("/files/items/7"), &request("http://elsewhere/items/7")));
    }

    /// Below `nest_service` the outer layer has no route, and the path may consist of the prefix
    /// only.
    #[cfg(feature = "axum")]
    #[tokio::test]
    async fn below_a_nested_service_it_is_the_same_request_even_if_its_path_is_only_the_prefix() {
        use std::{convert::Infallible, sync::mpsc};

        use axum::{Router, body::Body, response::Response};
        use tower::{ServiceExt, service_fn};

        for uri in ["/api", "/api/", "/api/items", "/api/items/7?all"] {
            let outer = Request::builder().uri(uri).body(Body::empty()).expect("a valid request");
            let identity = Identity::of(&outer, 0);
            let (sender, receiver) = mpsc::channel();
            let inner = service_fn(move |inner: Request<Body>| {
                let is_of =
                    |identity: Identity| identity.is_of(inner.uri(), inner.headers(), inner.extensions());
                let of_root = Identity::of(&request("/"), 0);
                sender.send((is_of(identity), is_of(of_root))).expect("the test waits");
                std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty())))
            });
            let router = Router::new().nest_service("/api", inner);
            router.oneshot(outer).await.expect("never fails");
            assert_eq!(receiver.try_recv(), Ok((true, false)), "{uri}");
        }
    }

    #[test]
    fn a_request_sent_on_to_another_host_is_another_request() {
        let first = request("/status");
        let mut parts = first.uri().clone().into_parts();
        (parts.scheme, parts.authority) = ("http".parse().ok(), "upstream:80".parse().ok());
        let mut second = request("/");
        *second.uri_mut() = Uri::from_parts(parts).expect("a URI");
        assert!(!is_same(&first, &second));
    }

    #[cfg(feature = "axum")]
    #[test]
    fn a_path_fits_the_template_that_it_matches() {
        for (template, path, expected) in [
            ("/items/{id}", "/items/7", true),
            ("/files/items/{id}", "/items/7", false),
            ("/files/{*rest}", "/files/a/b", true),
            ("/files/{*rest}", "/a/b", false),
            ("/{tenant}/items", "/items", false),
            ("/a/b", "/a", false),
            ("/a", "/a/b", false),
            ("/", "/", true),
            ("/files/", "/", false),
        ] {
            assert_eq!(fits(template, path), expected, "{template} {path}");
        }
    }
}
