//! Twenty thousand requests over real sockets with random endings, against the driver's ledger.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    convert::Infallible,
    future::pending,
    panic::resume_unwind,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    error_handling::HandleErrorLayer,
    extract::State,
    http::{HeaderMap, Method, Request, StatusCode},
    response::{
        IntoResponse,
        sse::{Event, Sse},
    },
    routing::{MethodRouter, get},
};
use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::{
    Response,
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tower::{BoxError, ServiceBuilder, timeout::TimeoutLayer};
use tower_influx::{DataPoint, ErrorCode, Monitor, Point, Settings, sink::MemorySink};

/// A kind of ending: what the client does, and what the points must record.
#[derive(Clone, Copy, Debug)]
struct Case {
    method: &'static str,
    path: &'static str,
    client: Client,
    route: &'static str,
    status: u16,
    error_code: &'static str,
    /// Field `body_end`, if the body is tracked.
    body_end: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Client {
    /// Reads an answer with this status to its end.
    Reads(u16),
    /// Gets no answer, since the handler panics.
    GetsNothing,
    /// Disconnects as soon as the handler runs.
    LeavesBeforeHead,
    /// Disconnects after the first piece of the body.
    LeavesInBody,
    /// Receives a body that breaks off.
    SeesTornBody,
}

const fn case(
    request: (&'static str, &'static str),
    client: Client,
    route: &'static str,
    status: u16,
    error_code: &'static str,
    body_end: &'static str,
) -> Case {
    Case { method: request.0, path: request.1, client, route, status, error_code, body_end }
}

const CASES: &[Case] = &[
    case(("GET", "/ok"), Client::Reads(200), "GET:/ok", 200, "", "complete"),
    case(("GET", "/pieces"), Client::Reads(200), "GET:/pieces", 200, "", "complete"),
    case(("GET", "/trailers"), Client::Reads(200), "GET:/trailers", 200, "", "complete"),
    case(("HEAD", "/ok"), Client::Reads(200), "HEAD:/ok", 200, "", "complete"),
    case(("HEAD", "/pieces"), Client::Reads(200), "HEAD:/pieces", 200, "", "complete"),
    case(("GET", "/nothing"), Client::Reads(204), "GET:/nothing", 204, "", "complete"),
    case(("GET", "/unmodified"), Client::Reads(304), "GET:/unmodified", 304, "", "complete"),
    case(("GET", "/missing"), Client::Reads(404), "GET:/missing", 404, "11009", "complete"),
    case(("GET", "/nowhere"), Client::Reads(404), "GET:unmatched", 404, "404", "complete"),
    case(("POST", "/ok"), Client::Reads(405), "POST:/ok", 405, "405", "complete"),
    case(("BREW", "/ok"), Client::Reads(405), "OTHER:/ok", 405, "405", "complete"),
    case(("GET", "/broken"), Client::Reads(500), "GET:/broken", 500, "500", "complete"),
    case(("GET", "/slow"), Client::Reads(504), "GET:/slow", 499, "cancelled", ""),
    case(("GET", "/panic"), Client::GetsNothing, "GET:/panic", 500, "panic", ""),
    case(("GET", "/never"), Client::LeavesBeforeHead, "GET:/never", 499, "cancelled", ""),
    case(("GET", "/events"), Client::LeavesInBody, "GET:/events", 200, "", "dropped"),
    case(("GET", "/endless"), Client::LeavesInBody, "GET:/endless", 200, "", "dropped"),
    case(("GET", "/torn"), Client::SeesTornBody, "GET:/torn", 200, "", "error"),
];

/// A planned request.
#[derive(Clone, Copy, Debug)]
struct Planned {
    number: usize,
    case: Case,
    tracked: bool,
    http2: bool,
}

/// Route, status, error code (empty in `requests`), end of a tracked body (empty in `errors`).
type Ending = (String, String, String, String);

impl Planned {
    /// Returns what `requests` and, if it failed, `errors` must record.
    fn endings(&self) -> (Ending, Option<Ending>) {
        let Case { route, status, error_code, body_end, .. } = self.case;
        let body_end = if self.tracked { body_end } else { "" };
        let error_code = if body_end == "error" { "body_error" } else { error_code };
        let ending = |code: &str, body_end: &str| {
            (route.to_owned(), status.to_string(), code.to_owned(), body_end.to_owned())
        };
        (ending("", body_end), (!error_code.is_empty()).then(|| ending(error_code, "")))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_random_endings_are_all_counted_once() {
    let sink = MemorySink::new();
    let mut settings = Settings::new("chaos");
    settings.rollup.interval = Some(Duration::from_millis(100));
    let monitor = Monitor::builder(settings).sink(sink.clone()).start().expect("settings are right");
    let mut random = fastrand::Rng::with_seed(SEED);
    let plan: Vec<_> = (0..REQUESTS)
        .map(|number| Planned {
            number,
            case: CASES[random.usize(..CASES.len())],
            tracked: random.bool(),
            http2: random.bool(),
        })
        .collect();

    timeout(PATIENCE, drive(&monitor, &plan)).await.expect("the requests end in time");
    let ended = async {
        while monitor.stats().recorder.running_requests > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, ended).await.expect("no request is in flight for ever");
    monitor.flush().await.expect("the monitor runs");

    let (mut expected, mut counted) = ((BTreeMap::new(), BTreeMap::new()), BTreeMap::new());
    for one in &plan {
        let (request, error) = one.endings();
        let code = error.as_ref().map(|error| error.2.clone()).unwrap_or_default();
        *counted.entry((request.0.clone(), request.1.clone(), code)).or_default() += 1;
        expected.0.insert(one.number.to_string(), request);
        expected.1.extend(error.map(|error| (one.number.to_string(), error)));
    }
    let (rollups, points): (Vec<_>, Vec<_>) =
        sink.points().into_iter().partition(|point| point.measurement() == "requests_rollup");
    assert_eq!(crate::rollups::exact::by_key(&rollups), counted, "rollups");
    let found = (endings(&points, "requests"), endings(&points, "errors"));
    assert_eq!(counts(&found.0), counts(&expected.0), "points in `requests`");
    assert_eq!(counts(&found.1), counts(&expected.1), "points in `errors`");
    assert!(found == expected, "the counts are right, but not each request has the ending that was its own");

    let identities: HashSet<_> = points.iter().map(identity).collect();
    assert_eq!(identities.len(), points.len(), "no two points have measurement, tags and time in common");
    let stats = monitor.stats();
    assert!(stats.balances(), "{stats}");
    let all = (expected.0.len() + expected.1.len() + rollups.len()) as u64;
    assert_eq!(
        (stats.ledger.accepted, stats.ledger.written, stats.ledger.offered),
        (all, all, all),
        "{stats}"
    );
    assert_eq!(stats.recorder.running_requests, 0);
}

/// Returns the recorded endings by request id. Fails if two points share an id.
fn endings(points: &[DataPoint], measurement: &str) -> BTreeMap<String, Ending> {
    let mut endings = BTreeMap::new();
    for point in points.iter().filter(|point| point.measurement() == measurement) {
        let field = |key| point.field(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        let tag = |key| point.tag(key).unwrap_or_default().to_owned();
        let ending = (tag("route"), tag("status_code"), tag("error_code"), field("body_end"));
        if let Some(other) = endings.insert(field("request_id"), ending) {
            panic!("one request has two points in `{measurement}`: {point:?} and {other:?}");
        }
    }
    endings
}

fn counts(endings: &BTreeMap<String, Ending>) -> BTreeMap<&Ending, usize> {
    endings.values().fold(BTreeMap::new(), |mut counts, ending| {
        *counts.entry(ending).or_default() += 1;
        counts
    })
}

/// Returns what distinguishes points in InfluxDB.
fn identity(point: &DataPoint) -> String {
    let tags: Vec<_> = point.tags().collect();
    format!("{} {tags:?} {:?}", point.measurement(), point.time())
}

/// Sends all requests, many at a time.
async fn drive(monitor: &Monitor, plan: &[Planned]) {
    let waiting = Waiting::default();
    // tower's own timeout polls the service before it checks the clock. tower-http's checks the
    // clock first: on a busy machine it would answer some requests that never reached the layer.
    let timeout = || {
        let answer = HandleErrorLayer::new(|_: BoxError| async { StatusCode::GATEWAY_TIMEOUT });
        ServiceBuilder::new().layer(answer).layer(TimeoutLayer::new(Duration::from_millis(10)))
    };
    let (plain, tracking) = (monitor.layer(), monitor.layer().track_body());
    // Only this route has a timeout: elsewhere a busy machine would cause some by chance.
    let slow = || -> MethodRouter { get(pending::<()>) };
    let slow_untracked = slow().layer::<_, Infallible>(plain.clone()).layer(timeout());
    let slow_tracked = slow().layer::<_, Infallible>(tracking.clone()).layer(timeout());
    let untracked = app(&waiting).layer(plain).route("/slow", slow_untracked);
    let tracked = app(&waiting).layer(tracking).route("/slow", slow_tracked);
    let addresses = [serve(untracked).await, serve(tracked).await];

    let mut drivers = JoinSet::new();
    for group in 0..GROUPS {
        let shared = [connect_http2(&addresses[0]).await, connect_http2(&addresses[1]).await];
        for member in 0..MEMBERS {
            let first = group * MEMBERS + member;
            let own: Vec<_> = plan.iter().skip(first).step_by(GROUPS * MEMBERS).copied().collect();
            let driver = Driver {
                addresses: addresses.clone(),
                waiting: waiting.clone(),
                http1: [None, None],
                http2: shared.clone(),
            };
            drivers.spawn(driver.run(own));
        }
    }
    while let Some(ended) = drivers.join_next().await {
        ended.expect("a driver sees what it expects");
    }
}

/// Clients that wait until a handler was reached, by request.
#[derive(Clone, Debug, Default)]
struct Waiting(Arc<Mutex<HashMap<String, oneshot::Sender<()>>>>);

impl Waiting {
    fn expect(&self, request: String) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(request, sender);
        receiver
    }

    fn reached(&self, headers: &HeaderMap) {
        let request = headers["x-request-id"].to_str().expect("a number");
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(request);
        sender.expect("the driver waits").send(()).expect("the driver waits");
    }
}

fn app(waiting: &Waiting) -> Router {
    Router::new()
        .route("/ok", get(async || "ok"))
        .route("/pieces", get(async || body(stream::empty())))
        .route("/trailers", get(async || body(stream::iter([Ok(Frame::trailers(HeaderMap::new()))]))))
        .route("/nothing", get(async || StatusCode::NO_CONTENT))
        .route("/unmodified", get(async || StatusCode::NOT_MODIFIED))
        .route("/missing", get(async || (StatusCode::NOT_FOUND, ErrorCode::from(11009), "no such item")))
        .route("/broken", get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .route("/panic", get(panicking))
        .route("/never", get(never))
        .route("/events", get(events))
        .route("/endless", get(async || body(stream::pending())))
        .route("/torn", get(async || body(stream::iter([Err("torn")]))))
        .with_state(waiting.clone())
}

/// Panics without a message, which a thousand requests would print.
async fn panicking() {
    resume_unwind(Box::new("on purpose"))
}

async fn never(State(waiting): State<Waiting>, headers: HeaderMap) {
    waiting.reached(&headers);
    pending().await
}

async fn events() -> impl IntoResponse {
    let first = stream::iter([Ok::<_, Infallible>(Event::default().data("first"))]);
    Sse::new(first.chain(stream::pending()))
}

/// Returns a body of two pieces and this end.
fn body(end: impl stream::Stream<Item = Result<Frame<Bytes>, &'static str>> + Send + 'static) -> Body {
    let pieces = ["one", "two"].map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes()))));
    Body::new(StreamBody::new(stream::iter(pieces).chain(end)))
}

async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Sends requests in sequence, over connections of its own (HTTP/1) and shared ones (HTTP/2).
struct Driver {
    addresses: [String; 2],
    waiting: Waiting,
    http1: [Option<Http1>; 2],
    http2: [http2::SendRequest<Empty<Bytes>>; 2],
}

struct Http1 {
    sender: http1::SendRequest<Empty<Bytes>>,
    connection: JoinHandle<()>,
}

impl Driver {
    async fn run(mut self, plan: Vec<Planned>) {
        for one in plan {
            self.request(one).await;
            // A client of HTTP/1 can only disconnect by closing the connection.
            let reusable = matches!(one.case.client, Client::Reads(_));
            if let Some(http1) = self.http1[usize::from(one.tracked)].take_if(|_| !one.http2 && !reusable) {
                http1.connection.abort();
            }
        }
    }

    async fn request(&mut self, one: Planned) {
        match one.case.client {
            Client::Reads(status) => {
                let answer = self.send(one).await.unwrap_or_else(|error| panic!("{one:?}: {error:?}"));
                assert_eq!(answer.status().as_u16(), status, "{one:?}");
                answer.into_body().collect().await.unwrap_or_else(|error| panic!("{one:?}: {error:?}"));
            }
            Client::GetsNothing => assert!(self.send(one).await.is_err(), "{one:?}"),
            Client::LeavesBeforeHead => {
                let reached = self.waiting.expect(one.number.to_string());
                tokio::select! {
                    _ = self.send(one) => panic!("{one:?}: it never answers"),
                    reached = reached => reached.expect("the handler says so"),
                }
            }
            Client::LeavesInBody => {
                let mut body = self.send(one).await.expect("a head").into_body();
                assert!(body.frame().await.is_some_and(|frame| frame.is_ok()), "{one:?}");
            }
            Client::SeesTornBody => {
                // Data sent before the break may not arrive, not even the head.
                if let Ok(answer) = self.send(one).await {
                    assert!(answer.into_body().collect().await.is_err(), "{one:?}");
                }
            }
        }
    }

    async fn send(&mut self, one: Planned) -> hyper::Result<Response<Incoming>> {
        let (server, path) = (usize::from(one.tracked), one.case.path);
        let method = Method::from_bytes(one.case.method.as_bytes()).expect("a valid method");
        let address = &self.addresses[server];
        let request = Request::builder().method(method).header("x-request-id", one.number.to_string());
        if one.http2 {
            let request = request.uri(format!("http://{address}{path}")).body(Empty::new());
            return self.http2[server].send_request(request.expect("a valid request")).await;
        }
        let request = request.uri(path).header("host", address).body(Empty::new());
        let http1 = match &mut self.http1[server] {
            Some(http1) => http1,
            none => none.insert(connect_http1(address).await),
        };
        http1.sender.ready().await?;
        http1.sender.send_request(request.expect("a valid request")).await
    }
}

async fn connect_http1(address: &str) -> Http1 {
    let stream = TokioIo::new(TcpStream::connect(address).await.expect("the server listens"));
    let (sender, connection) = http1::handshake(stream).await.expect("HTTP/1");
    let connection = tokio::spawn(async move { connection.await.unwrap_or_default() });
    Http1 { sender, connection }
}

async fn connect_http2(address: &str) -> http2::SendRequest<Empty<Bytes>> {
    let stream = TokioIo::new(TcpStream::connect(address).await.expect("the server listens"));
    let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

const REQUESTS: usize = 20_000;
const SEED: u64 = 0x746f_7765_7269_6e66;
/// Drivers of a group share their HTTP/2 connections.
const GROUPS: usize = 4;
const MEMBERS: usize = 8;
/// Far longer than needed. Without it a lost request would hang the tests.
const PATIENCE: Duration = Duration::from_secs(120);
