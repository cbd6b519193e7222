//! The layers and services, the processing of a request, and the API for handlers.

mod added;
mod adding;
mod body;
mod body_ending;
mod body_tracking;
mod callbacks;
pub(crate) mod catch_panic;
pub mod classify;
mod config;
mod connection;
pub(crate) mod current;
pub(crate) mod data;
mod data_reuse;
mod exchange;
#[cfg(feature = "axum")]
mod extractor;
mod found_route;
mod future;
mod handed;
pub mod head;
mod header;
mod identity;
pub mod layer;
mod monitoring_data;
mod request_body;
pub(crate) mod request_id;
mod route;
#[cfg(feature = "axum")]
mod route_cache;
mod service;
mod spare;
pub mod timer;
mod trace_context;

#[cfg(feature = "axum")]
pub(crate) use route::Route;
pub(crate) use route::{RouteFunction, method_name};
pub(crate) use trace_context::keep_headers as keep_trace_headers;
pub use {
    connection::Connection, layer::MonitoringLayer, monitoring_data::MonitoringData, request_id::RequestId,
};
