//! A typical application: thirty routes, middleware of its own and of tower-http, uploads, streams.

use std::{
    convert::Infallible, future::pending, panic::resume_unwind, path::Path as FilePath, time::Duration,
};

use axum::{
    Extension, Json, Router,
    body::{Body, Bytes},
    extract::{
        DefaultBodyLimit, Multipart, Path, Query, Request, State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderMap, HeaderName, StatusCode, header},
    middleware::{Next, from_fn},
    response::{
        Html, IntoResponse, Redirect, Response,
        sse::{Event, Sse},
    },
    routing::{any, delete, get, post},
};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer, compression::CompressionLayer, services::ServeDir, timeout::TimeoutLayer,
};
use tower_influx::{DataPoint, ErrorCode, Monitor, MonitoringData, MonitoringLayer};

/// The maximum size of a body that is read as a whole, in bytes.
pub(super) const BODY_LIMIT: usize = 64 * 1024;

/// Returns the whole application. With `tracked`, bodies are tracked to their ends.
pub(super) fn app(monitor: &Monitor, files: &FilePath, tracked: bool) -> Router {
    let timeout = |limit| TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, limit);
    let routes = Router::new()
        .route("/", get(async || Html("<h1>hello</h1>")))
        .route("/health", get(async || "well"))
        .route("/version", get(async || "1.0"))
        .route("/moved", get(async || Redirect::temporary("/version")))
        .route("/old/{*rest}", get(async || Redirect::permanent("/")))
        .route("/cached", get(cached))
        .route("/any", any(async || "any"))
        .route("/broken", get(async || ApiError(StatusCode::INTERNAL_SERVER_ERROR, "database_away".into())))
        .route("/panic", get(panicking))
        .route("/slow", get(pending::<()>).layer(timeout(Duration::from_millis(20))))
        .route("/report/{lines}", get(report))
        .route("/events/{count}", get(events))
        .route("/ticks", get(ticks))
        .route("/socket/{room}", get(socket))
        .nest("/upload", uploads())
        .nest("/api", api())
        .nest_service("/static", ServeDir::new(files))
        .fallback(async || (StatusCode::NOT_FOUND, ErrorCode::from_static("no_such_page"), "no such page"))
        .with_state(monitor.clone())
        .layer(ServiceBuilder::new().layer(timeout(Duration::from_secs(60))).layer(CompressionLayer::new()));
    let layer = monitor.layer().route(|request| {
        // Below a nested service axum matches nothing.
        request.uri.path().starts_with("/static/").then(|| "/static/{*file}".into())
    });
    monitored(routes, layer, tracked)
        .layer(CatchPanicLayer::custom(|_| (StatusCode::INTERNAL_SERVER_ERROR, "sorry").into_response()))
}

fn monitored(routes: Router, layer: MonitoringLayer, tracked: bool) -> Router {
    match tracked {
        true => routes.layer(layer.track_body()),
        false => routes.layer(layer),
    }
}

fn api() -> Router<Monitor> {
    let items = Router::new()
        .route("/", get(async || Json(json!([1, 2, 3]))).post(create))
        .route("/{id}", get(item).put(replace).patch(replace).delete(async || StatusCode::NO_CONTENT))
        .route("/{id}/parts", get(async || Json(json!([]))))
        .route("/{id}/parts/{part}", get(part));
    let admin = Router::new()
        .route("/users", get(async || Json(json!(["root"]))))
        .route("/users/{name}", delete(async || StatusCode::ACCEPTED))
        .route_layer(from_fn(administrators_only));
    Router::new()
        .nest("/items", items)
        .route("/orders/{id}", get(order).post(order))
        .route("/search", get(search))
        .route("/me", get(async |Extension(user): Extension<User>| user.0))
        .nest("/admin", admin)
        .route_layer(from_fn(authenticated))
}

fn uploads() -> Router<Monitor> {
    Router::new()
        .route("/whole", post(whole).layer(DefaultBodyLimit::max(BODY_LIMIT)))
        .route("/stream/{name}", axum::routing::put(streamed))
        .route("/form", post(form))
}

/// The error of the application: a status, and a code that its clients know.
struct ApiError(StatusCode, ErrorCode);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "code": self.1.to_string() });
        (self.0, self.1, Json(body)).into_response()
    }
}

#[derive(Clone)]
struct User(String);

/// Answers 401 without a known token. Adds a tag for the others.
async fn authenticated(data: MonitoringData, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let name = match token.and_then(|token| token.strip_prefix("Bearer ")) {
        Some(name @ ("user" | "admin")) => name.to_owned(),
        Some(_) => return Err(ApiError(StatusCode::UNAUTHORIZED, 4012.into())),
        None => return Err(ApiError(StatusCode::UNAUTHORIZED, 4011.into())),
    };
    data.tag("role", &name);
    request.extensions_mut().insert(User(name));
    Ok(next.run(request).await)
}

async fn administrators_only(Extension(user): Extension<User>, request: Request, next: Next) -> Response {
    match &*user.0 {
        "admin" => next.run(request).await,
        _ => ApiError(StatusCode::FORBIDDEN, 4031.into()).into_response(),
    }
}

async fn item(Path(id): Path<u32>, data: MonitoringData) -> Result<Json<Value>, ApiError> {
    data.field("item", id);
    let found = data.time("load_time", async { id != 0 }).await;
    if !found {
        return Err(ApiError(StatusCode::NOT_FOUND, 11009.into()));
    }
    Ok(Json(json!({ "id": id, "text": "x".repeat(id as usize) })))
}

#[derive(Deserialize)]
struct Draft {
    name: String,
}

async fn create(data: MonitoringData, Json(draft): Json<Draft>) -> impl IntoResponse {
    data.field("name", draft.name);
    (StatusCode::CREATED, [(header::LOCATION, "/api/items/4")])
}

async fn replace(Path(_): Path<u32>, Json(_): Json<Draft>) -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn part(Path((_, part)): Path<(u32, String)>) -> Result<String, ApiError> {
    if part == "none" { Err(ApiError(StatusCode::GONE, "part_is_gone".into())) } else { Ok(part) }
}

async fn order(Path(id): Path<u32>, data: MonitoringData) -> Result<&'static str, StatusCode> {
    // The code is not part of the response, but in the data of the request.
    data.error_code(7_000 + i64::from(id));
    if id.is_multiple_of(2) { Ok("here it is") } else { Err(StatusCode::CONFLICT) }
}

#[derive(Deserialize)]
struct Search {
    words: String,
}

async fn search(Query(search): Query<Search>) -> String {
    search.words
}

async fn cached(headers: HeaderMap) -> Response {
    match headers.get(header::IF_NONE_MATCH) {
        Some(tag) if tag == "\"1\"" => StatusCode::NOT_MODIFIED.into_response(),
        _ => ([(header::ETAG, "\"1\"")], "content").into_response(),
    }
}

/// Panics without a message, which a thousand requests would print.
async fn panicking() {
    resume_unwind(Box::new("on purpose"))
}

/// Large, and much smaller when compressed.
async fn report(Path(lines): Path<usize>) -> ([(HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, "text/csv")], "one,two,three\n".repeat(lines))
}

async fn events(Path(count): Path<usize>) -> impl IntoResponse {
    Sse::new(
        stream::iter(0..count).map(|number| Ok::<_, Infallible>(Event::default().data(number.to_string()))),
    )
}

/// A stream that only the client ends.
async fn ticks() -> impl IntoResponse {
    let first = stream::iter([Ok::<_, Infallible>(Event::default().data("tick"))]);
    Sse::new(first.chain(stream::pending()))
}

async fn whole(data: MonitoringData, body: Bytes) -> String {
    data.field("received", body.len());
    body.len().to_string()
}

async fn streamed(Path(_): Path<String>, data: MonitoringData, body: Body) -> Result<String, ApiError> {
    let mut received = 0;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        received += piece.map_err(|_| ApiError(StatusCode::BAD_REQUEST, "torn_upload".into()))?.len();
    }
    data.field("received", received);
    Ok(received.to_string())
}

async fn form(data: MonitoringData, mut form: Multipart) -> Result<String, Response> {
    let (mut parts, mut received) = (0, 0);
    while let Some(part) = form.next_field().await.map_err(IntoResponse::into_response)? {
        parts += 1;
        received += part.bytes().await.map_err(IntoResponse::into_response)?.len();
    }
    data.field("parts", parts);
    data.field("received", received);
    Ok(format!("{parts} {received}"))
}

/// The request ends with its upgrade, so the socket is recorded as a point of its own.
async fn socket(
    Path(room): Path<String>,
    State(monitor): State<Monitor>,
    data: MonitoringData,
    upgrade: WebSocketUpgrade,
) -> Response {
    data.field("room", &room);
    upgrade.on_upgrade(async move |socket| {
        let messages = echo(socket).await;
        monitor.record(&DataPoint::new("sockets").with_field("room", room).with_field("messages", messages));
    })
}

async fn echo(mut socket: WebSocket) -> u32 {
    let mut messages = 0;
    while let Some(Ok(message)) = socket.recv().await {
        if let Message::Text(_) | Message::Binary(_) = message {
            messages += 1;
            if socket.send(message).await.is_err() {
                break;
            }
        }
    }
    messages
}
