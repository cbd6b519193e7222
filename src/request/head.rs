//! Heads of messages, for the functions that a layer calls. A head is all of a message except its
//! body.

use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, Uri, Version};

/// The head of a request, with the fields of [`http::request::Parts`].
///
/// The fields are references, so that the request stays in one piece for the call.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RequestHead<'a> {
    /// The method of the request.
    pub method: &'a Method,
    /// The URI of the request.
    pub uri: &'a Uri,
    /// The HTTP version of the request.
    pub version: Version,
    /// The headers of the request.
    pub headers: &'a HeaderMap,
    /// The extensions of the request, with what outer layers have inserted.
    pub extensions: &'a Extensions,
}

/// The head of a response, with the fields of [`http::response::Parts`] as references.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ResponseHead<'a> {
    /// The status of the response.
    pub status: StatusCode,
    /// The HTTP version of the response.
    pub version: Version,
    /// The headers of the response.
    pub headers: &'a HeaderMap,
    /// The extensions of the response, with what the handler and inner layers have inserted.
    pub extensions: &'a Extensions,
}

impl<'a> RequestHead<'a> {
    #[inline]
    pub(crate) fn of<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }
}

impl<'a> ResponseHead<'a> {
    #[inline]
    pub(crate) fn of<B>(response: &'a Response<B>) -> Self {
        Self {
            status: response.status(),
            version: response.version(),
            headers: response.headers(),
            extensions: response.extensions(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_everything_of_a_message_except_its_body() {
        let request = || {
            let builder = Request::post("http://shop/items?page=2").version(Version::HTTP_2);
            builder.header("x-own", "a").extension(7_u8).body(()).expect("a request")
        };
        let (sent, (parts, ())) = (request(), request().into_parts());
        let RequestHead { method, uri, version, headers, extensions } = RequestHead::of(&sent);
        assert_eq!(
            (method, uri, version, headers),
            (&parts.method, &parts.uri, parts.version, &parts.headers)
        );
        assert_eq!(extensions.get::<u8>(), Some(&7));

        let response = || {
            let builder = Response::builder().status(StatusCode::ACCEPTED).version(Version::HTTP_10);
            builder.header("x-own", "b").extension(9_u8).body(()).expect("a response")
        };
        let (answered, (parts, ())) = (response(), response().into_parts());
        let ResponseHead { status, version, headers, extensions } = ResponseHead::of(&answered);
        assert_eq!((status, version, headers), (parts.status, parts.version, &parts.headers));
        assert_eq!(extensions.get::<u8>(), Some(&9));
    }
}
