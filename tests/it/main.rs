//! Tests of the whole crate, most of them with real servers.
//!
//! The live tests start the servers of Debian's packages influxdb, victoria-metrics, nginx-light
//! and prometheus on free ports of 127.0.0.1. If one is not installed, its tests pass and report
//! that they did not run; `TOWER_INFLUX_LIVE=required` makes them fail. `TOWER_INFLUX_TEST_KIND`,
//! `…_URL` and others name another server to test: `docs/targets.md`.

mod asked;
mod bodies;
mod bounds;
mod chaos;
mod client;
mod client_grpc;
mod closing;
mod context;
mod documents;
mod endings;
mod examples;
mod fan_out;
mod faults;
mod filters;
mod grafana;
mod grpc;
mod handover;
mod hostile;
mod http2;
mod in_process;
mod labels;
mod lent_data;
mod licensing;
mod life;
mod live_page;
mod migrating;
mod nested;
mod operations;
mod panics;
mod process;
mod prometheus;
mod quick_start;
mod recipes;
mod reload;
mod reload_bounds;
mod request_bodies;
mod restart;
mod restart_files;
mod rollups;
mod servers;
mod shutdown_bodies;
mod spool_age;
mod stored;
mod stranger;
#[path = "../support/mod.rs"]
mod support;
mod targets;
mod threads;
mod traces;
mod unix_socket;
mod values;
mod waiting;
mod wrong;
mod zz_summary;
