//! The layer, its service, and what happens to a request in between.

mod body;
mod config;
pub(crate) mod current;
mod exchange;
mod future;
#[cfg(feature = "axum")]
mod known_routes;
mod layer;
mod outcome;
mod route;
mod service;
pub(crate) mod slot;

pub(crate) use route::Route;
pub use {
    body::ResponseBody,
    future::{ResponseFuture, TrackBodyFuture},
    layer::{MonitoringLayer, TrackBodyLayer},
    outcome::{
        BodyEnding, BodyOutcome, Classification, Classifier, Ending, GrpcClassifier, Outcome,
        StatusClassifier,
    },
    service::{MonitoringService, TrackBodyService},
};
