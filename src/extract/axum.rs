//! The extractor and the response part of axum.

use std::convert::Infallible;

use axum::extract::MatchedPath;
use axum_core::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, IntoResponseParts, Response, ResponseParts},
};
use http::request::Parts;

use super::{ErrorCode, MonitoringData};
use crate::middleware::Route;

impl<S: Sync> FromRequestParts<S> for MonitoringData {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let data = parts.extensions.get::<Self>().cloned().unwrap_or_else(Self::current_or_detached);
        if let Some(path) = parts.extensions.get::<MatchedPath>() {
            data.slot.lock().refine(Route::Matched(path.clone()));
        }
        Ok(data)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for MonitoringData {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().or_else(Self::current))
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
