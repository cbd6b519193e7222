//! Shared test support: real servers on free ports of 127.0.0.1, and clients that query their
//! contents.

// Not every feature set uses every helper.
#![allow(dead_code)]

pub(crate) mod browser;
pub(crate) mod certificates;
pub(crate) mod child;
pub(crate) mod example;
pub(crate) mod fault_server;
pub(crate) mod http;
pub(crate) mod influx;
pub(crate) mod influx2;
pub(crate) mod live;
pub(crate) mod locks;
pub(crate) mod log;
pub(crate) mod nginx;
pub(crate) mod numbered;
pub(crate) mod pasted;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod service;
pub(crate) mod source;
pub(crate) mod target;
pub(crate) mod victoria;
pub(crate) mod watched;
