//! Requests that handlers make in process, and layers of one monitor with a task in between: what
//! counts as one request, and what as two.

use std::convert::Infallible;

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, Response, StatusCode, Uri},
    response::IntoResponse,
    routing::get,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn, util::BoxCloneService};
use tower_influx::{
    MonitoringData, MonitoringLayer, Settings,
    classify::{Classification, Outcome},
};

use crate::{
    endings::{ask, serve},
    labels::{monitor, points},
    support::{log::Log, watched::Watched},
};

pub(crate) fn request(uri: &str) -> Request {
    Request::builder().uri(uri).body(Body::empty()).expect("a valid request")
}

/// Returns the router that handlers call, with a layer of the same monitor, with and without
/// extractors.
pub(crate) fn inner(layer: MonitoringLayer) -> Router {
    Router::new()
        .route("/", get(async || "root"))
        .route("/health", get(async || "healthy"))
        .route("/status/health", get(async |_: MonitoringData| "healthy"))
        .route("/users/{id}", get(async |_: MonitoringData| "user"))
        .layer(layer)
}

/// Returns `METHOD:/route` of all points, sorted, after a call in process and one over a socket.
async fn routes(build: impl Fn(&Watched) -> Router, path: &str, settings: Settings) -> Vec<String> {
    let (monitor, sink) = monitor(settings);
    let watched = Watched { monitor, sink };
    let app = build(&watched).with_state(());
    let answer = app.clone().oneshot(request(path)).await.expect("axum never fails");
    assert!(answer.status().is_success(), "{}", answer.status());
    let in_process = sorted_routes(&watched).await;
    let answer = ask(&serve(app).await, "GET", path).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let both = sorted_routes(&watched).await;
    assert!(watched.monitor.stats().balances());
    let twice: Vec<_> = in_process.iter().flat_map(|route| [route, route]).cloned().collect();
    assert_eq!(both, twice, "both ways are the same");
    in_process
}

async fn sorted_routes(watched: &Watched) -> Vec<String> {
    let points = points(&watched.monitor, &watched.sink, "requests").await;
    let mut routes: Vec<_> =
        points.iter().map(|point| point.tag("route").unwrap_or_default().to_owned()).collect();
    routes.sort();
    routes
}

/// Returns an application whose handler of `path` calls these paths of an inner router.
pub(crate) fn calling(watched: &Watched, path: &'static str, called: &'static [&'static str]) -> Router {
    let inner = inner(watched.layer()).with_state::<()>(());
    let handler = move |headers: HeaderMap| async move {
        for uri in called {
            let mut request = request(uri);
            // As a batch does, which passes on the authorization of its caller.
            *request.headers_mut() = headers.clone();
            inner.clone().oneshot(request).await.expect("axum never fails");
        }
    };
    Router::new().route(path, get(handler)).layer(watched.layer())
}

#[tokio::test]
async fn a_call_in_process_makes_a_point_of_its_own_and_the_caller_keeps_its_route() {
    for (path, called, expected) in [
        ("/status", &["/health"][..], &["GET:/health", "GET:/status"][..]),
        // One path is the beginning of the other.
        ("/status", &["/status/health"], &["GET:/status", "GET:/status/health"]),
        (
            "/batch",
            &["/users/1", "/users/2", "/nowhere"],
            &["GET:/batch", "GET:/users/{id}", "GET:/users/{id}", "GET:unmatched"],
        ),
        ("/batch", &["/", "/"], &["GET:/", "GET:/", "GET:/batch"]),
    ] {
        let build = |watched: &Watched| calling(watched, path, called);
        let asked = path.replace("{id}", "7");
        assert_eq!(routes(build, &asked, Settings::new("calls")).await, expected, "{path} calls {called:?}");
    }
}

/// Over a socket, where the path of the outer request stays in the connection's memory while it is
/// handled.
#[tokio::test]
async fn a_call_of_the_same_path_is_another_request() {
    for (path, called, expected) in [
        ("/health", &["/health"], ["GET:/health 200"; 2]),
        ("/users/{id}", &["/users/7"], ["GET:/users/{id} 200"; 2]),
        ("/", &["/health"], ["GET:/ 200", "GET:/health 200"]),
    ] {
        let watched = Watched::start("calls");
        let answer =
            ask(&serve(calling(&watched, path, called)).await, "GET", &path.replace("{id}", "7")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        watched.expect(&expected, &[]).await;
    }
}

#[tokio::test]
async fn a_filter_of_the_called_route_does_not_affect_the_caller() {
    let mut settings = Settings::new("calls");
    settings.filter.ignore = vec!["GET:/health".to_owned()];
    let build = |watched: &Watched| calling(watched, "/status", &["/health"]);
    assert_eq!(routes(build, "/status", settings).await, ["GET:/status"]);
}

#[tokio::test]
async fn a_caller_without_a_route_gets_none_from_its_calls() {
    // Around the whole router, and as a fallback: both have no route of their own.
    let around = |watched: &Watched| {
        let inner = inner(watched.layer()).with_state::<()>(());
        let handler = service_fn(move |_: Request| inner.clone().oneshot(request("/users/1")));
        Router::new().fallback_service(watched.layer().layer(handler))
    };
    let expected = ["GET:/users/{id}", "GET:unmatched"];
    assert_eq!(routes(around, "/gateway", Settings::new("calls")).await, expected);
    // Without an inner layer, an extractor there could refine the route, too.
    let unlayered = |watched: &Watched| {
        let inner: Router = Router::new().route("/users/{id}", get(async |_: MonitoringData| ()));
        let handler = async move || inner.oneshot(request("/users/1")).await;
        Router::new().fallback(handler).layer(watched.layer())
    };
    assert_eq!(routes(unlayered, "/gateway", Settings::new("calls")).await, ["GET:unmatched"]);
}

#[tokio::test]
async fn a_request_that_is_passed_to_an_inner_service_is_one() {
    // The same request, passed to an inner router that knows more of it.
    let nested = |watched: &Watched| {
        Router::new().nest_service("/files", inner(watched.layer())).layer(watched.layer())
    };
    assert_eq!(routes(nested, "/files/users/7", Settings::new("one")).await, ["GET:/files/users/{id}"]);
    let nested_twice = |watched: &Watched| {
        let inner = Router::new().nest_service("/b", inner(watched.layer())).layer(watched.layer());
        Router::new().nest_service("/a", inner).layer(watched.layer())
    };
    assert_eq!(routes(nested_twice, "/a/b/users/7", Settings::new("one")).await, ["GET:/a/b/users/{id}"]);
    let fallback =
        |watched: &Watched| Router::new().fallback_service(inner(watched.layer())).layer(watched.layer());
    assert_eq!(routes(fallback, "/users/7", Settings::new("one")).await, ["GET:/users/{id}"]);
    assert_eq!(routes(fallback, "/", Settings::new("one")).await, ["GET:/"]);
    assert_eq!(routes(nested, "/files/", Settings::new("one")).await, ["GET:/files//"], "as axum says");
    let flat =
        |watched: &Watched| Router::new().nest("/files", inner(watched.layer())).layer(watched.layer());
    for (path, route) in [
        ("/files/users/7", "GET:/files/users/{id}"),
        ("/files", "GET:/files"),
        ("/files/health", "GET:/files/health"),
    ] {
        assert_eq!(routes(flat, path, Settings::new("one")).await, [route], "{path}");
    }
    // A handler that forwards its own request keeps the route that it was called by.
    let forwarding = |watched: &Watched| {
        let inner = inner(watched.layer()).with_state::<()>(());
        let handler = |request: Request| async move { inner.oneshot(request).await };
        Router::new().route("/users/{anything}", get(handler)).layer(watched.layer())
    };
    let routes = routes(forwarding, "/users/7", Settings::new("one")).await;
    assert_eq!(routes, ["GET:/users/{anything}/users/{id}"], "as axum itself says inside");
}

#[tokio::test]
async fn a_request_that_is_sent_on_to_another_host_is_another_one() {
    let build = |watched: &Watched| {
        let upstream = service_fn(async |_: Request| Ok::<_, Infallible>(StatusCode::OK.into_response()));
        let client = watched.layer().route(|_| Some("upstream".into())).layer(upstream);
        let handler = move |mut request: Request| async move {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            *request.uri_mut() = format!("http://upstream:3000{path}").parse().expect("a URI");
            client.clone().oneshot(request).await
        };
        Router::new().route("/api/{*rest}", get(handler)).layer(watched.layer())
    };
    let routes = routes(build, "/api/users/7", Settings::new("proxy")).await;
    assert_eq!(routes, ["GET:/api/{*rest}", "GET:upstream"]);
}

#[tokio::test]
async fn a_route_function_wins_over_the_route_of_the_server() {
    let (client, client_sink) = monitor(Settings::new("client"));
    let upstream = service_fn(async |_: Request| Ok::<_, Infallible>(StatusCode::OK.into_response()));
    let named = client.layer().route(|parts| (parts.uri.path() != "/api/b").then(|| "upstream".into()));
    let calls = named.layer(upstream);
    // The server has no layer, or one of another monitor.
    let (server, server_sink) = monitor(Settings::new("server"));
    let app = Router::new().route("/api/{id}", get(|request: Request| calls.oneshot(request)));
    for app in [app.clone(), app.layer(server.layer())] {
        for path in ["/api/a", "/api/b"] {
            app.clone().oneshot(request(path)).await.expect("axum never fails");
        }
    }
    let points_of_client = points(&client, &client_sink, "requests").await;
    let mut routes: Vec<_> = points_of_client.iter().map(|point| point.tag("route")).collect();
    routes.sort();
    assert_eq!(
        routes,
        [Some("GET:/api/{id}"), Some("GET:/api/{id}"), Some("GET:upstream"), Some("GET:upstream")]
    );
    for point in points(&server, &server_sink, "requests").await {
        assert_eq!(point.tag("route"), Some("GET:/api/{id}"));
    }
}

#[tokio::test]
async fn a_call_through_another_monitor_does_not_change_the_caller() {
    let (server, server_sink) = monitor(Settings::new("server"));
    let (client, client_sink) = monitor(Settings::new("client"));
    let called =
        Router::new().route("/users/{id}", get(async |data: MonitoringData| data.tag("inside", "yes")));
    let calls = client.layer().layer(called.with_state::<()>(()));
    let handler = async move |data: MonitoringData| {
        data.tag("tenant", "acme");
        for id in ["/users/1", "/users/2"] {
            calls.clone().oneshot(request(id)).await.expect("axum never fails");
        }
        data.tag("late", "yes");
    };
    let app: Router = Router::new().fallback(handler).layer(server.layer());
    app.oneshot(request("/gateway")).await.expect("axum never fails");
    let served = points(&server, &server_sink, "requests").await;
    let called = points(&client, &client_sink, "requests").await;
    assert_eq!((served.len(), called.len()), (1, 2));
    let told = |point: &tower_influx::DataPoint| {
        ["route", "tenant", "inside", "late"].map(|key| point.tag(key).map(str::to_owned))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(told(&served[0]), [some("GET:unmatched"), some("acme"), None, some("yes")]);
    for point in &called {
        assert_eq!(told(point), [some("GET:/users/{id}"), some("acme"), some("yes"), None]);
        assert_eq!(point.field("request_id"), served[0].field("request_id"));
    }
}

type Boxed = BoxCloneService<Request, Response<Body>, Infallible>;

/// Returns a service that runs the inner one in a task of its own.
fn spawned(inner: Boxed) -> Boxed {
    let hop = move |request: Request| {
        let inner = inner.clone();
        async move { tokio::spawn(inner.oneshot(request)).await.expect("no panic") }
    };
    BoxCloneService::new(service_fn(hop))
}

/// tower's buffer polls the future where it is awaited, but calls the service in a task of its own.
fn buffered(inner: Boxed) -> Boxed {
    let buffered = ServiceBuilder::new().buffer(8).service(inner);
    BoxCloneService::new(service_fn(move |request: Request| {
        let mut buffered = buffered.clone();
        async move {
            let ready = buffered.ready().await.expect("the buffer works");
            Ok(ready.call(request).await.expect("axum never fails"))
        }
    }))
}

#[tokio::test]
async fn layers_with_a_task_in_between_join_if_data_is_inserted() {
    for hop in [spawned, buffered] {
        for insert in [true, false] {
            let watched = Watched::start("hop");
            let routes = Router::new().route("/users/{id}", get(async |_: MonitoringData| "user"));
            let inner = BoxCloneService::new(watched.layer().layer(routes));
            let app = watched.layer().insert_data(insert).layer(hop(inner));
            for path in ["/users/7", "/users/8"] {
                let answer = app.clone().oneshot(request(path)).await.expect("axum never fails");
                assert_eq!(answer.status(), StatusCode::OK);
            }
            let joined = ["GET:/users/{id} 200"; 2];
            let apart = [&joined[..], &["GET:unmatched 200"; 2]].concat();
            watched.expect(if insert { &joined } else { &apart }, &[]).await;
        }
    }
}

#[tokio::test]
async fn a_call_with_copied_extensions_is_another_request() {
    let watched = Watched::start("copied");
    let inner = inner(watched.layer()).with_state::<()>(());
    let handler = async move |request: Request| {
        let (parts, _) = request.into_parts();
        for uri in ["/users/1", "/health", "/status"] {
            let mut copy = Request::from_parts(parts.clone(), Body::empty());
            *copy.uri_mut() = Uri::try_from(uri).expect("a URI");
            inner.clone().oneshot(copy).await.expect("axum never fails");
        }
    };
    let app: Router = Router::new().route("/batch", get(handler)).layer(watched.layer().insert_data(true));
    app.oneshot(request("/batch")).await.expect("axum never fails");
    // axum itself reads the copied route as that of a nesting router.
    let expected = ["GET:/batch 200", "GET:/batch 404", "GET:/batch/health 200", "GET:/batch/users/{id} 200"];
    watched.expect(&expected, &["GET:/batch 404 404"]).await;
}

#[tokio::test]
async fn ineffective_options_of_an_inner_layer_are_logged_once() {
    let classifier = |outcome: &Outcome<'_>| Classification::success(outcome.status());
    for (name, warnings) in [("none", 0), ("classifier", 1), ("tracking", 1), ("handed", 1)] {
        let log = Log::capture();
        let watched = Watched::start("ignored");
        let found = Router::new().fallback(async || StatusCode::NOT_FOUND);
        let layer = watched.layer();
        let inner = match name {
            "none" => found.layer(layer),
            "tracking" => found.layer(layer.track_body()),
            _ => found.layer(layer.classifier(classifier)),
        };
        let outer = watched.layer().insert_data(name == "handed");
        let inner = BoxCloneService::new(inner.with_state::<()>(()));
        let app = outer.layer(if name == "handed" { spawned(inner) } else { inner });
        for _ in 0..3 {
            app.clone().oneshot(request("/")).await.expect("axum never fails");
        }
        // The outer layer classifies by status codes.
        watched.expect(&["GET:unmatched 404"; 3], &["GET:unmatched 404 404"; 3]).await;
        let said = log.count("classifier or body tracking of an inner layer ignored");
        assert_eq!(said, warnings, "{name}: {log}");
    }
}
