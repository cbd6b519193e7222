//! How a request ended, and what that means: the classifier.

use std::sync::Arc;

use http::{Extensions, HeaderMap, Response, StatusCode};

pub use super::body_ending::{BodyEnding, RequestBodyEnding};
use super::{data::RequestData, head::ResponseHead, route::Route};
use crate::point::error_code::ErrorCode;

/// How a request left the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The inner service answered.
    Response,
    /// The inner service returned `Err` instead of a response.
    ServiceError,
    /// The inner service panicked.
    Panic,
    /// The future was dropped before it was ready: the client has gone, or a layer outside (a
    /// timeout) has answered.
    Cancelled,
}

/// What a [`Classifier`] sees of a request's end, before the body.
#[derive(Debug)]
pub struct Outcome<'a> {
    ending: Ending,
    response: Option<ResponseHead<'a>>,
    method: &'static str,
    route: &'a Route,
    data: Option<&'a Arc<RequestData>>,
}

impl<'a> Outcome<'a> {
    pub(crate) fn response<B>(
        response: &'a Response<B>,
        method: &'static str,
        route: &'a Route,
        data: Option<&'a Arc<RequestData>>,
    ) -> Self {
        Self { ending: Ending::Response, response: Some(ResponseHead::of(response)), method, route, data }
    }

    pub(crate) fn without_response(
        ending: Ending,
        method: &'static str,
        route: &'a Route,
        data: Option<&'a Arc<RequestData>>,
    ) -> Self {
        Self { ending, response: None, method, route, data }
    }

    /// Returns the method of the request as the tag `route` has it: `OTHER` for one that is not of
    /// the standards.
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// Returns the route of the request as it was known at the layer, without the method, such as
    /// `/items/{id}`. `None` without one. What is known only further inside, below `nest_service`,
    /// is not seen here.
    pub fn route(&self) -> Option<&'a str> {
        (!self.route.is_unmatched()).then(|| self.route.as_str())
    }

    /// Returns how the request left the layer.
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// Returns the status of the response, or the one that represents the ending: 500 for
    /// [`Ending::ServiceError`] and [`Ending::Panic`], 499 for [`Ending::Cancelled`], as proxies
    /// log a client that has gone.
    pub fn status(&self) -> StatusCode {
        match (&self.response, self.ending) {
            (Some(response), _) => response.status,
            (None, Ending::Cancelled) => client_closed_request(),
            (None, _) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the headers of the response, if there is one.
    pub fn headers(&self) -> Option<&'a HeaderMap> {
        self.response.as_ref().map(|response| response.headers)
    }

    /// Returns how far the request's body was read by now. With it a classifier can distinguish an
    /// aborted upload from an invalid one. `None` without
    /// [`track_bodies`](crate::MonitoringLayer::track_bodies).
    ///
    /// ```
    /// use tower_influx::classify::{
    ///     Classification, Classifier, Outcome, RequestBodyEnding, StatusClassifier,
    /// };
    ///
    /// # let monitor = tower_influx::Monitor::disabled();
    /// let classifier = |outcome: &Outcome<'_>| match outcome.request_body() {
    ///     Some(RequestBodyEnding::Error) => {
    ///         Classification::failure(outcome.status(), Some("upload_aborted".into()))
    ///     }
    ///     _ => StatusClassifier.classify(outcome),
    /// };
    /// let layer = monitor.layer().classifier(classifier).track_bodies();
    /// # let _ = layer;
    /// ```
    pub fn request_body(&self) -> Option<RequestBodyEnding> {
        self.data.and_then(|data| data.lock().request_body.as_ref().map(|body| body.ending()))
    }

    /// Returns the extensions of the response, if there is one.
    pub fn extensions(&self) -> Option<&'a Extensions> {
        self.response.as_ref().map(|response| response.extensions)
    }
}

/// How the body ended, for a [`Classifier`].
#[derive(Debug)]
pub struct BodyOutcome<'a> {
    pub(crate) ending: BodyEnding,
    pub(crate) trailers: Option<&'a HeaderMap>,
}

impl<'a> BodyOutcome<'a> {
    /// Returns how the body ended.
    pub fn ending(&self) -> BodyEnding {
        self.ending
    }

    /// Returns the trailers, if there are any.
    pub fn trailers(&self) -> Option<&'a HeaderMap> {
        self.trailers
    }
}

/// What an outcome means for the points.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Classification {
    /// Value of the tag `status_code`.
    pub status: StatusCode,
    /// Whether the request gets a point in `errors` as well.
    pub failed: bool,
    /// Value of the tag `error_code`, if the classifier knows one. The application's own
    /// [`ErrorCode`], in the extensions of the response or in
    /// [`MonitoringData`](crate::MonitoringData), wins. With neither it is the status code as text.
    pub error_code: Option<ErrorCode>,
    /// Whether the request gets a point even if
    /// [`requests.keep`](crate::settings::RequestSettings::keep) leaves out requests like it.
    /// Defaults to false.
    pub keep: bool,
}

impl Classification {
    /// Creates the verdict for a request that did not fail.
    pub fn success(status: StatusCode) -> Self {
        Self { status, failed: false, error_code: None, keep: false }
    }

    /// Creates the verdict for a request that failed.
    pub fn failure(status: StatusCode, error_code: Option<ErrorCode>) -> Self {
        Self { status, failed: true, error_code, keep: false }
    }
}

/// Decides which requests failed, with which status and error code. Replace it on the layer with
/// [`classifier`](crate::MonitoringLayer::classifier).
///
/// Implemented for functions from [`Outcome`] to [`Classification`]. It runs on the request's path:
/// keep it short.
///
/// # Cardinality
///
/// Status and error code become tags. Error codes are capped like the values of every other tag.
///
/// ```
/// use http::StatusCode;
/// use tower_influx::classify::{Classification, Classifier, Outcome, StatusClassifier};
///
/// # let monitor = tower_influx::Monitor::disabled();
/// // What was not found is an answer here, and no failure.
/// let layer = monitor.layer().classifier(|outcome: &Outcome<'_>| match outcome.status() {
///     status @ StatusCode::NOT_FOUND => Classification::success(status),
///     _ => StatusClassifier.classify(outcome),
/// });
/// ```
pub trait Classifier: Send + Sync + 'static {
    /// Judges the head of the response, or its absence.
    fn classify(&self, outcome: &Outcome<'_>) -> Classification;

    /// Judges again when the body has ended; only with body tracking. `head` is what
    /// [`classify`](Self::classify) said.
    ///
    /// By default a body that fails makes the request fail, with the error code `body_error`; one
    /// that is dropped does not, since leaving is how a client ends a stream.
    fn classify_body(&self, head: Classification, body: &BodyOutcome<'_>) -> Classification {
        match body.ending {
            BodyEnding::Error => fail_by_body(head),
            BodyEnding::Complete | BodyEnding::Dropped | BodyEnding::Unfinished => head,
        }
    }
}

impl<F> Classifier for F
where
    F: Fn(&Outcome<'_>) -> Classification + Send + Sync + 'static,
{
    fn classify(&self, outcome: &Outcome<'_>) -> Classification {
        self(outcome)
    }
}

/// The default: a status of 400 or above fails, and so does every ending without a response. The
/// error code of the latter is `service_error`, `panic` or `cancelled`.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatusClassifier;

impl Classifier for StatusClassifier {
    #[inline]
    fn classify(&self, outcome: &Outcome<'_>) -> Classification {
        let status = outcome.status();
        let error_code = match outcome.ending {
            Ending::Response if !is_failure(status) => return Classification::success(status),
            Ending::Response => None,
            Ending::ServiceError => Some(SERVICE_ERROR),
            Ending::Panic => Some(PANIC),
            Ending::Cancelled => Some(CANCELLED),
        };
        Classification::failure(status, error_code)
    }
}

/// Returns whether a response of this status is a failure to the [`StatusClassifier`].
#[inline]
pub(crate) fn is_failure(status: StatusCode) -> bool {
    status.as_u16() >= 400
}

/// Classifies gRPC responses by `grpc-status`, in the head of a response without a body or in the
/// trailers. Trailers are only seen with [`track_body`](crate::MonitoringLayer::track_body). A
/// status other than 0 is a failure, and is the error code.
///
/// gRPC answers failures with HTTP status 200, too. So the tag `status_code` says little here.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcClassifier;

impl Classifier for GrpcClassifier {
    fn classify(&self, outcome: &Outcome<'_>) -> Classification {
        let by_status = StatusClassifier.classify(outcome);
        by_grpc_status(by_status, outcome.headers())
    }

    fn classify_body(&self, head: Classification, body: &BodyOutcome<'_>) -> Classification {
        match body.ending {
            BodyEnding::Error => fail_by_body(head),
            BodyEnding::Complete | BodyEnding::Dropped | BodyEnding::Unfinished => {
                by_grpc_status(head, body.trailers)
            }
        }
    }
}

fn by_grpc_status(head: Classification, headers: Option<&HeaderMap>) -> Classification {
    let Some(status) = headers.and_then(|headers| headers.get("grpc-status")) else { return head };
    // Codes are 0 to 16; anything else in the header is the peer's own invention and must not
    // become a tag as it is.
    match status.to_str().ok().and_then(|text| text.parse::<u8>().ok()) {
        Some(0) => head,
        Some(code @ 1..=16) => Classification::failure(head.status, Some(code.into())),
        _ => Classification::failure(head.status, Some(UNKNOWN_GRPC_STATUS)),
    }
}

fn fail_by_body(head: Classification) -> Classification {
    let error_code = head.error_code.unwrap_or(BODY_ERROR);
    Classification::failure(head.status, Some(error_code))
}

const SERVICE_ERROR: ErrorCode = ErrorCode::from_static("service_error");
const PANIC: ErrorCode = ErrorCode::from_static("panic");
const CANCELLED: ErrorCode = ErrorCode::from_static("cancelled");
const BODY_ERROR: ErrorCode = ErrorCode::from_static("body_error");
const UNKNOWN_GRPC_STATUS: ErrorCode = ErrorCode::from_static("unknown_grpc_status");

/// Returns the status that nginx logs when the client closed the connection; registered nowhere,
/// known everywhere.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}
