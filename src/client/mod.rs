//! Outgoing calls: a layer for HTTP clients that records each call as one point.
//!
//! [`Monitor::client_layer`](crate::Monitor::client_layer) creates the layer.
//! [client](crate::docs::client) describes what is stored.

mod body;
mod call;
mod config;
mod error_code;
mod future;
mod layer;
mod point;
mod service;

pub use crate::error::BoxError;
pub use {
    body::ClientBody,
    future::{ClientFuture, TrackBodyClientFuture},
    layer::{ClientLayer, TrackBodyClientLayer},
    service::{ClientService, TrackBodyClientService},
};
