//! The extractor, and the error code as part of a response, for axum.

use std::convert::Infallible;

use axum::extract::MatchedPath;
use axum_core::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, IntoResponseParts, Response, ResponseParts},
};
use http::{StatusCode, request::Parts};

use super::MonitoringData;
use crate::{
    point::error_code::ErrorCode,
    record::misplaced,
    request::{
        Route,
        current::{self, Current},
    },
};

impl<S: Sync> FromRequestParts<S> for MonitoringData {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(find(parts).unwrap_or_else(detached))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for MonitoringData {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(find(parts))
    }
}

/// Finds the data of the request. Refines its route if the extractor knows a better one than the
/// layer.
#[inline]
fn find(parts: &Parts) -> Option<MonitoringData> {
    let route = parts.extensions.get::<MatchedPath>();
    let current = current::with(|current| {
        if let Some(path) = route.filter(|path| !current.identity.has_route(path.as_str().as_ptr().addr())) {
            refine(current, path, parts);
        }
        MonitoringData { request_data: current.request_data() }
    });
    current.or_else(|| {
        let data = parts.extensions.get::<MonitoringData>()?;
        if let Some(path) = route {
            refine_data(data, path);
        }
        Some(data.clone())
    })
}

/// Refines the route, unless the handler belongs to another request, made by the current handler.
#[inline(never)]
fn refine(current: &mut Current, path: &MatchedPath, parts: &Parts) {
    if current.identity.is_of(&parts.uri, &parts.headers, &parts.extensions) {
        current.refine(&Route::Matched(path.clone()));
    }
}

#[inline(never)]
fn refine_data(data: &MonitoringData, path: &MatchedPath) {
    data.request_data.lock().refine(&Route::Matched(path.clone()));
}

impl IntoResponseParts for ErrorCode {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

impl IntoResponse for ErrorCode {
    /// Converts the code to an empty response with status 500, since a code alone means a failure.
    /// For another status, use the code as a part of a response, such as
    /// `(StatusCode::NOT_FOUND, code)`.
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponseParts for MonitoringData {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

/// Creates data that is not recorded, since no monitored request is running.
#[cold]
fn detached() -> MonitoringData {
    misplaced::count_detached();
    MonitoringData::new()
}
