//! How a request ended, and the classifier that decides what this means.

use std::sync::Arc;

use http::{Extensions, HeaderMap, Response, StatusCode};

pub use super::body_ending::{BodyEnding, RequestBodyEnding};
use super::{data::RequestData, head::ResponseHead};
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
    /// The future was dropped before it was ready, because the client disconnected or because an
    /// outer layer, such as a timeout, has answered.
    Cancelled,
}

/// How a request ended, as a [`Classifier`] sees it before the end of the response's body.
#[derive(Debug)]
pub struct Outcome<'a> {
    ending: Ending,
    response: Option<ResponseHead<'a>>,
    method: &'static str,
    route: Option<&'a str>,
    data: Option<&'a Arc<RequestData>>,
}

impl<'a> Outcome<'a> {
    pub(crate) fn response<B>(
        response: &'a Response<B>,
        method: &'static str,
        route: Option<&'a str>,
        data: Option<&'a Arc<RequestData>>,
    ) -> Self {
        Self { ending: Ending::Response, response: Some(ResponseHead::of(response)), method, route, data }
    }

    pub(crate) fn without_response(
        ending: Ending,
        method: &'static str,
        route: Option<&'a str>,
        data: Option<&'a Arc<RequestData>>,
    ) -> Self {
        Self { ending, response: None, method, route, data }
    }

    /// Returns the method of the request as in the tag `route`. A non-standard method is `OTHER`.
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// Returns the route of the request as it is known at the layer, without the method, such as
    /// `/items/{id}`. `None` for a request without a route. The part of a route that is only known
    /// further inside, below `nest_service`, is missing here.
    pub fn route(&self) -> Option<&'a str> {
        self.route
    }

    /// Returns how the request left the layer.
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// Returns the status of the response. Without a response it is 500 for
    /// [`Ending::ServiceError`] and [`Ending::Panic`], and 499 for [`Ending::Cancelled`], as
    /// proxies log a client that disconnected.
    pub fn status(&self) -> StatusCode {
        match (&self.response, self.ending) {
            (Some(response), _) => response.status,
            (None, Ending::Cancelled) => client_closed_request(),
            (None, _) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the headers of the response. `None` without a response.
    pub fn headers(&self) -> Option<&'a HeaderMap> {
        self.response.as_ref().map(|response| response.headers)
    }

    /// Returns how far the body of the request has been read. A classifier can use it to
    /// distinguish an aborted upload from an invalid one. `None` without
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

    /// Returns the extensions of the response. `None` without a response.
    pub fn extensions(&self) -> Option<&'a Extensions> {
        self.response.as_ref().map(|response| response.extensions)
    }
}

/// How the body of a response ended, for a [`Classifier`].
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

    /// Returns the trailers. `None` if there are none.
    pub fn trailers(&self) -> Option<&'a HeaderMap> {
        self.trailers
    }
}

/// What the end of a request means for its points.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Classification {
    /// The value of the tag `status_code`.
    pub status: StatusCode,
    /// Whether the request gets a point in `errors`, too.
    pub failed: bool,
    /// The value of the tag `error_code`, if the classifier knows one. An [`ErrorCode`] of the
    /// application has priority, in the extensions of the response or in
    /// [`MonitoringData`](crate::MonitoringData). Without any code the tag is the status code.
    pub error_code: Option<ErrorCode>,
    /// Whether the request gets a point even if
    /// [`requests.keep`](crate::settings::RequestSettings::keep) excludes such requests. Defaults
    /// to false.
    pub keep: bool,
}

impl Classification {
    /// Creates the classification of a request that did not fail.
    pub fn success(status: StatusCode) -> Self {
        Self { status, failed: false, error_code: None, keep: false }
    }

    /// Creates the classification of a request that failed.
    pub fn failure(status: StatusCode, error_code: Option<ErrorCode>) -> Self {
        Self { status, failed: true, error_code, keep: false }
    }
}

/// Decides which requests failed, and with which status and error code. Set it on the layer with
/// [`classifier`](crate::MonitoringLayer::classifier).
///
/// Functions from [`Outcome`] to [`Classification`] implement this trait. A classifier runs on the
/// path of the request, so keep it short.
///
/// # Cardinality
///
/// Status and error code become tags. The number of error codes is capped as for every other tag.
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
    /// Classifies a request by the head of its response, or by the absence of a response.
    fn classify(&self, outcome: &Outcome<'_>) -> Classification;

    /// Classifies a request again when the body of its response has ended. Called only with body
    /// tracking. `head` is the result of [`classify`](Self::classify).
    ///
    /// By default a body that fails makes the request fail, with the error code `body_error`. A
    /// dropped body does not, since that is how clients end a stream.
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

/// The default classifier: a request fails if its status is 400 or above, or if it ends without a
/// response. The error code of a request without a response is `service_error`, `panic` or
/// `cancelled`.
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

/// Returns whether a response with this status is a failure for the [`StatusClassifier`].
#[inline]
pub(crate) fn is_failure(status: StatusCode) -> bool {
    status.as_u16() >= 400
}

/// Classifies gRPC responses by `grpc-status`, which is in the head of a response without a body,
/// and otherwise in the trailers. Trailers are only seen with
/// [`track_body`](crate::MonitoringLayer::track_body). A status other than 0 is a failure, and is
/// the error code.
///
/// gRPC uses HTTP status 200 for failures, too. So the tag `status_code` says little here.
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
    // Codes are 0 to 16. Any other value is the peer's own invention and must not become a tag.
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

/// Returns the status that nginx logs when the client closed the connection. It is not registered,
/// but widely used.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}
