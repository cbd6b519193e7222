//! The extractor and the response part of axum.

use std::convert::Infallible;

use axum::extract::MatchedPath;
use axum_core::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, IntoResponseParts, Response, ResponseParts},
};
use http::request::Parts;

use super::MonitoringData;
use crate::{
    point::error_code::ErrorCode,
    record::recorder,
    request::{Route, current},
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

/// The data of the request, which learns its route here if more is known of it than at the layer.
#[inline]
fn find(parts: &Parts) -> Option<MonitoringData> {
    let route = parts.extensions.get::<MatchedPath>();
    let current = current::with(|current| {
        if let Some(path) = route.filter(|path| current.route_address != path.as_str().as_ptr().addr()) {
            current.refine(Route::Matched(path.clone()));
        }
        MonitoringData { slot: current.slot() }
    });
    current.or_else(|| {
        let data = parts.extensions.get::<MonitoringData>()?;
        if let Some(path) = route {
            data.slot.lock().refine(Route::Matched(path.clone()));
        }
        Some(data.clone())
    })
}

impl IntoResponseParts for ErrorCode {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

impl IntoResponse for ErrorCode {
    fn into_response(self) -> Response {
        let mut response = ().into_response();
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

/// Data that goes nowhere, since no monitored request is there.
#[cold]
fn detached() -> MonitoringData {
    recorder::count_detached();
    MonitoringData::new()
}
