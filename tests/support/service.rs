//! A monitored axum service whose handlers end in every possible way, and a client that keeps its
//! own ledger.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::Path,
    response::IntoResponse,
    routing::{get, post},
};
use http::{Method, Request, StatusCode};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, task::JoinSet};
use tower_influx::{ErrorCode, Monitor, MonitoringData};

use super::http::Http;

/// A running service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// A planned request, and the points that are expected for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// The tags `route` and `status_code` of its point.
    pub(crate) route: &'static str,
    pub(crate) status: u16,
    /// The tag `error_code` of its second point, if it fails.
    pub(crate) error_code: Option<&'static str>,
}

/// Points by route, status and, for `errors`, error code.
pub(crate) type Counts = BTreeMap<(String, String, String), u64>;

impl Service {
    /// Serves [`app`] on a free port.
    pub(crate) async fn start(monitor: &Monitor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let (stop, stopped) = oneshot::channel();
        let app = app(monitor);
        let task = tokio::spawn(async move {
            let server = axum::serve(listener, app).with_graceful_shutdown(async {
                let _ = stopped.await;
            });
            server.await.expect("the server runs until it is stopped");
        });
        Self { address, stop, task }
    }

    /// Stops the service when the running requests have ended.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.expect("the server ends");
    }
}

/// Returns the routes of the service, with the layer around them.
pub(crate) fn app(monitor: &Monitor) -> Router {
    Router::new()
        .route("/version", get(async || "1.0"))
        .route("/items", post(async || StatusCode::CREATED))
        .route("/items/{id}", get(item))
        .route("/fail", get(async || StatusCode::SERVICE_UNAVAILABLE))
        .layer(monitor.layer())
}

async fn item(Path(id): Path<u32>, data: MonitoringData) -> Result<impl IntoResponse, impl IntoResponse> {
    data.tag("kind", if id.is_multiple_of(2) { "even" } else { "odd" });
    data.field("item", i64::from(id));
    data.field("ratio", f64::from(id) / 4.0);
    data.field("known", id != 0);
    data.field("name", format!("item \"{id}\"\\"));
    let found = data.time("load_time", async { id != 0 }).await;
    if !found {
        return Err((StatusCode::NOT_FOUND, ErrorCode::from(11009), "no such item"));
    }
    Ok(Json(id))
}

/// Returns `count` requests of all kinds, evenly mixed and always the same.
pub(crate) fn plan(count: usize) -> Vec<Planned> {
    let planned = |method: Method, path: &str, route, status, error_code| Planned {
        method,
        path: path.to_owned(),
        route,
        status,
        error_code,
    };
    let brew = Method::from_bytes(b"BREW").expect("a valid method");
    (0..count)
        .map(|number| match number % 10 {
            0..=2 => planned(Method::GET, "/version", "GET:/version", 200, None),
            3..=5 => planned(Method::GET, &format!("/items/{}", number + 1), "GET:/items/{id}", 200, None),
            6 => planned(Method::GET, "/items/0", "GET:/items/{id}", 404, Some("11009")),
            7 => planned(Method::POST, "/items", "POST:/items", 201, None),
            8 => planned(Method::GET, "/fail", "GET:/fail", 503, Some("503")),
            _ if number % 20 == 9 => {
                planned(Method::GET, &format!("/nowhere/{number}"), "GET:unmatched", 404, Some("404"))
            }
            _ => planned(brew.clone(), "/version", "OTHER:/version", 405, Some("405")),
        })
        .collect()
}

/// Returns what `requests` and `errors` must contain after the plan.
pub(crate) fn expected(plan: &[Planned]) -> (Counts, Counts) {
    let (mut requests, mut errors) = (Counts::new(), Counts::new());
    for one in plan {
        let (route, status) = (one.route.to_owned(), one.status.to_string());
        *requests.entry((route.clone(), status.clone(), String::new())).or_default() += 1;
        if let Some(code) = one.error_code {
            *errors.entry((route, status, code.to_owned())).or_default() += 1;
        }
    }
    (requests, errors)
}

/// Sends every request of the plan over several connections at once. Fails if an answer has an
/// unexpected status.
pub(crate) async fn drive(base: &str, plan: Vec<Planned>, connections: usize) {
    let (plan, base) = (Arc::new(plan), Arc::<str>::from(base));
    let mut tasks = JoinSet::new();
    for first in 0..connections {
        let (plan, base) = (Arc::clone(&plan), Arc::clone(&base));
        tasks.spawn(async move {
            let http = Http::new();
            for one in plan.iter().skip(first).step_by(connections) {
                let request =
                    Request::builder().method(one.method.clone()).uri(format!("{base}{}", one.path));
                let request = request.body(Body::empty()).expect("a valid request");
                let answer = http.send(request).await.expect("the service answers");
                assert_eq!(answer.status, one.status, "{} {}", one.method, one.path);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("the driver ends");
    }
}
