//! Time that requests spend waiting, and links of the page below a path with a parameter.

use std::{convert::Infallible, time::Duration};

use crate::support::watched::Watched;
use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{Response, StatusCode},
};
use tower::{
    ServiceBuilder, ServiceExt,
    layer::layer_fn,
    limit::{ConcurrencyLimit, GlobalConcurrencyLimitLayer},
    service_fn,
};

/// As documented in docs/requests.md: waiting is a part of the request.
#[tokio::test(start_paused = true)]
async fn a_wait_for_an_inner_limit_counts_if_it_is_part_of_the_request() {
    let watched = Watched::start("waiting");
    let slow = service_fn(async |_: Request| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let service = ServiceBuilder::new()
        .layer(watched.layer())
        .layer(layer_fn(|inner: ConcurrencyLimit<_>| {
            service_fn(move |request| inner.clone().oneshot(request))
        }))
        .layer(GlobalConcurrencyLimitLayer::new(1))
        .service(slow);
    let first = tokio::spawn(service.clone().oneshot(Request::new(Body::empty())));
    tokio::task::yield_now().await;
    let leaving = (0..9).map(|_| service.clone().oneshot(Request::new(Body::empty())));
    let leaving = leaving.map(|request| tokio::time::timeout(Duration::from_millis(250), request));
    let left = futures_util::future::join_all(leaving).await;
    assert!(left.iter().all(Result::is_err));
    assert_eq!(first.await.expect("no panic").expect("it answers").status(), StatusCode::OK);
    let requests: Vec<_> = ["GET:unmatched 200"].into_iter().chain(["GET:unmatched 499"; 9]).collect();
    watched.expect(&requests, &["GET:unmatched 499 cancelled"; 9]).await;
}

#[tokio::test]
async fn the_links_of_the_live_page_work_wherever_it_is_nested() {
    let watched = Watched::start("live");
    let page = tower_influx::live::router(&watched.monitor);
    let nested: Router = Router::new().nest("/monitoring/{tenant}", page.clone());
    let service = Router::new().nest_service("/monitoring/{tenant}", page.clone());
    let with_slash = Router::new().nest("/monitoring/{tenant}/", page.clone());
    let plain = Router::new().nest_service("/monitoring", page.clone());
    let twice = Router::new().nest("/inner", plain.clone());
    for (app, path, link) in [
        (&nested, "/monitoring/acme", "acme/style.css"),
        (&nested, "/monitoring/a%20%22b", "a%20%22b/style.css"),
        (&service, "/monitoring/acme", "acme/style.css"),
        (&service, "/monitoring/acme/", "style.css"),
        (&with_slash, "/monitoring/acme/", "style.css"),
        (&plain, "/monitoring", "monitoring/style.css"),
        (&plain, "/monitoring/", "style.css"),
        (&twice, "/inner/monitoring", "monitoring/style.css"),
        (&twice, "/inner/monitoring/", "style.css"),
        (&page, "/", "style.css"),
    ] {
        let (status, html) = load(app, path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(html.contains(&format!("\"{link}\"")) && !html.contains("{tenant}"), "{path}");
        // As a browser resolves it.
        let style = format!("{}{link}", &path[..=path.rfind('/').expect("a slash")]);
        assert_eq!(load(app, &style).await.0, StatusCode::OK, "{style}");
    }
    assert_eq!(load(&nested, "/monitoring/acme/").await.0, StatusCode::NOT_FOUND, "as axum's `nest` has it");
}

async fn load(app: &Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).expect("a valid request");
    let response = app.clone().oneshot(request).await.expect("axum never fails");
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    (status, String::from_utf8_lossy(&body).into_owned())
}
