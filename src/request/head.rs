//! Heads of messages, for the functions that a layer calls: all of a message but its body.

use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, Uri, Version};

/// The head of a request, with the fields of [`http::request::Parts`].
///
/// The fields are references, so a request is not taken apart for a call.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RequestHead<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// Where the request goes.
    pub uri: &'a Uri,
    /// The version of HTTP.
    pub version: Version,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// What layers further outside have put into the request.
    pub extensions: &'a Extensions,
}

/// The head of a response, with the fields of [`http::response::Parts`], by reference.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ResponseHead<'a> {
    /// The response's status.
    pub status: StatusCode,
    /// The version of HTTP.
    pub version: Version,
    /// The response's headers.
    pub headers: &'a HeaderMap,
    /// What the handler, and layers further inside, have put into the response.
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
    fn a_head_has_all_of_a_message_but_its_body() {
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
