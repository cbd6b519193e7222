//! The extractor and the response part of axum.

use std::{convert::Infallible, sync::Arc};

use axum::extract::MatchedPath;
use axum_core::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, IntoResponseParts, Response, ResponseParts},
};
use http::request::Parts;

use super::{ErrorCode, MonitoringData};
use crate::{
    intake,
    middleware::{Route, current},
};

impl<S: Sync> FromRequestParts<S> for MonitoringData {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let route = parts.extensions.get::<MatchedPath>();
        if let Some(data) = current::with(|current| {
            if let Some(path) = route.filter(|path| current.route_address != path.as_str().as_ptr().addr()) {
                current.slot().lock().refine(Route::Matched(path.clone()));
            }
            Self { slot: Arc::clone(current.slot()) }
        }) {
            return Ok(data);
        }
        let data = parts.extensions.get::<Self>().cloned().unwrap_or_else(detached);
        if let Some(path) = route {
            data.slot.lock().refine(Route::Matched(path.clone()));
        }
        Ok(data)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for MonitoringData {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(Self::current().or_else(|| parts.extensions.get::<Self>().cloned()))
    }
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
    intake::count_detached();
    MonitoringData::new()
}
