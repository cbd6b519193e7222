//! The services over HTTP: `minimal`, `axum_app`, `hyper_service`, `testing`.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

use axum::body::Body;
use http::{Method, Request};
use tokio::task::JoinSet;

use crate::{
    stored::counts,
    support::{
        example::{Example, LastLine},
        http::Http,
        influx::Stored,
        service::{Counts, Planned, drive, expected},
    },
};

/// The address to listen on, since tests run at the same time.
const ANY_PORT: &str = "127.0.0.1:0";

fn planned(
    method: Method,
    path: impl Into<String>,
    route: &'static str,
    status: u16,
    error_code: Option<&'static str>,
) -> Planned {
    Planned { method, path: path.into(), route, status, error_code }
}

/// Ends the example. Its files must contain exactly the points of these requests.
async fn expect(example: &mut Example, (requests, errors): (Counts, Counts)) {
    let all = requests.values().sum::<u64>() + errors.values().sum::<u64>();
    assert_eq!(example.terminate().await, LastLine::all_written(all));
    let points = example.points();
    let found = |measurement: &str| points.get(measurement).map(|points| counts(points)).unwrap_or_default();
    assert_eq!(found("requests"), requests);
    assert_eq!(found("errors"), errors);
    assert_eq!(points.values().map(Vec::len).sum::<usize>() as u64, all, "no other measurement");
}

#[tokio::test(flavor = "multi_thread")]
async fn minimal_counts_every_request() {
    let mut example = Example::start("minimal", &[ANY_PORT]);
    let plan: Vec<_> = (0..300)
        .map(|number| match number % 3 {
            0 => planned(Method::GET, format!("/hello/{number}"), "GET:/hello/{name}", 200, None),
            1 => planned(Method::GET, format!("/{number}"), "GET:unmatched", 404, Some("404")),
            _ => planned(Method::POST, "/hello/world", "POST:/hello/{name}", 405, Some("405")),
        })
        .collect();
    drive(&example.url().await, plan.clone(), 6).await;
    expect(&mut example, expected(&plan)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hyper_service_names_its_routes() {
    let mut example = Example::start("hyper_service", &[ANY_PORT]);
    let plan: Vec<_> = (0..300)
        .map(|number| match number % 5 {
            0 => planned(Method::GET, "/version", "GET:/version", 200, None),
            1 => planned(Method::GET, format!("/squares/{number}"), "GET:/squares/{number}", 200, None),
            2 => planned(Method::GET, "/squares/x", "GET:/squares/{number}", 400, Some("no_number")),
            3 => planned(Method::GET, format!("/{number}"), "GET:unmatched", 404, Some("404")),
            _ => planned(Method::POST, "/version", "POST:/version", 404, Some("404")),
        })
        .collect();
    drive(&example.url().await, plan.clone(), 6).await;
    expect(&mut example, expected(&plan)).await;
    let mut numbers: Vec<_> = example.points()["requests"]
        .iter()
        .filter_map(|point| point.fields.get("number").map(|number| number.as_i64().expect("a whole number")))
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..300).filter(|number| number % 5 == 1).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn testing_counts_every_request() {
    let mut example = Example::start("testing", &[ANY_PORT]);
    let route = "POST:/transfers/{amount}";
    let plan: Vec<_> = (0..100)
        .map(|number| match number % 2 {
            0 => planned(Method::POST, format!("/transfers/{number}"), route, 202, None),
            _ => planned(
                Method::POST,
                format!("/transfers/{number}000"),
                route,
                if number == 1 { 202 } else { 402 },
                (number != 1).then_some("3001"),
            ),
        })
        .collect();
    drive(&example.url().await, plan.clone(), 4).await;
    expect(&mut example, expected(&plan)).await;
}

/// Orders and reads of the application, and their expected points.
async fn order(url: &str) -> (Counts, Counts) {
    // Thirty items are in stock, three of each. The fourth and fifth orders of one are refused, in
    // whatever order they arrive.
    let mut orders = JoinSet::new();
    for number in 0..50 {
        let (url, customer) = (format!("{url}/api/orders"), ["acme", "globex"][number % 2]);
        let body = format!(r#"{{"customer":"{customer}","item":{},"count":1}}"#, number % 10 + 1);
        orders.spawn(async move {
            let answer = Http::new().post(&url, &[("content-type", "application/json")], body).await;
            answer.expect("it answers").status.as_u16()
        });
    }
    let mut statuses = orders.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [[201; 30].as_slice(), &[409; 20]].concat());

    let http = Http::new();
    let put = Request::put(format!("{url}/api/items/11")).header("content-type", "application/json");
    let put = put.body(Body::from("7")).expect("a valid request");
    assert_eq!(http.send(put).await.expect("it answers").status, 204);
    let plain = http.post(&format!("{url}/api/orders"), &[], "no JSON").await;
    assert_eq!(plain.expect("it answers").status, 415);
    let plan: Vec<_> = (0..100)
        .map(|number| match number % 5 {
            0 => planned(Method::GET, "/api/items", "GET:/api/items", 200, None),
            1 => planned(Method::GET, "/api/items/11", "GET:/api/items/{id}", 200, None),
            2 => planned(Method::GET, "/api/items/99", "GET:/api/items/{id}", 404, Some("2001")),
            3 => planned(Method::GET, "/.env", "GET:unmatched", 404, Some("1001")),
            _ => planned(Method::DELETE, "/api/items/1", "DELETE:/api/items/{id}", 405, Some("405")),
        })
        .collect();
    drive(url, plan.clone(), 4).await;
    for _ in 0..10 {
        http.get(&format!("{url}/health")).await.expect("it answers");
    }

    let (mut requests, mut errors) = expected(&plan);
    let key = |route: &str, status: &str, code: &str| (route.to_owned(), status.to_owned(), code.to_owned());
    requests.insert(key("POST:/api/orders", "201", ""), 30);
    requests.insert(key("POST:/api/orders", "409", ""), 20);
    errors.insert(key("POST:/api/orders", "409", "2002"), 20);
    requests.insert(key("POST:/api/orders", "415", ""), 1);
    errors.insert(key("POST:/api/orders", "415", "415"), 1);
    requests.insert(key("PUT:/api/items/{id}", "204", ""), 1);
    (requests, errors)
}

#[tokio::test(flavor = "multi_thread")]
async fn axum_app_counts_every_request_and_what_its_handlers_add() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut example = Example::start_in("axum_app", directory, |command| {
        command.env("APP__LISTEN", ANY_PORT);
    });
    let expected = order(&example.url().await).await;
    expect(&mut example, expected).await;

    let points = &example.points()["requests"];
    let untagged: Vec<_> = points.iter().filter(|point| point.tag("client") != "none").collect();
    assert!(untagged.is_empty(), "a middleware tags every request: {untagged:?}");
    let of =
        |route: &str| points.iter().filter(|point| point.tag("route") == route).collect::<Vec<&Stored>>();
    let customers =
        |name: &str| of("POST:/api/orders").iter().filter(|point| point.tag("customer") == name).count();
    assert_eq!(
        (customers("acme"), customers("globex"), customers("")),
        (25, 25, 1),
        "one had no readable body"
    );
    for point in of("GET:/api/items/{id}") {
        let found = point.tag("status_code") == "200";
        assert_eq!(point.fields.get("stock").and_then(|stock| stock.as_i64()), found.then_some(7));
        assert!(point.fields["stock_time"].is_f64(), "{point:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn axum_app_reads_a_file_and_the_environment_above_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = r#"
listen = "192.0.2.1:80"
[monitoring]
service = "shop"
flush_interval = "10m"
tags = { region = "north", Zone = "A" }
"#;
    fs::write(directory.path().join("app.toml"), file).expect("a writable directory");
    let mut example = Example::start_in("axum_app", directory, |command| {
        command.arg("app.toml").env("APP__LISTEN", ANY_PORT);
        command.env("APP__MONITORING__TAGS__REGION", "south").env("APP__MONITORING__INSTANCE", "a");
        command.env("APP__MONITORING__FILTER__IGNORE", "unmatched, GET:/health");
        // Variables of a Kubernetes service `app`, and other foreign ones.
        command.env("APP_PORT", "tcp://10.96.0.17:80").env("APP_SERVICE_HOST", "10.96.0.17");
        command.env("OTHER", OsStr::from_bytes(b"\xff")).env(OsStr::from_bytes(b"\xfe"), "");
    });
    let plan: Vec<_> =
        (0..20).map(|_| planned(Method::GET, "/api/items/1", "GET:/api/items/{id}", 200, None)).collect();
    let url = example.url().await;
    drive(&url, plan.clone(), 2).await;
    for path in ["health", "nowhere"] {
        Http::new().get(&format!("{url}/{path}")).await.expect("it answers");
    }
    expect(&mut example, expected(&plan)).await;
    for point in &example.points()["requests"] {
        let tags = ["service", "region", "Zone", "instance"].map(|key| point.tag(key));
        assert_eq!(tags, ["shop", "south", "A", "a"]);
    }
}

#[tokio::test]
async fn axum_app_reports_which_setting_is_wrong() {
    for (variable, value, complaint) in [
        ("APP__MONITORING__FLUSH_INTERVAL", "1ms", "setting `flush_interval` is `1ms`"),
        ("APP__MONITORING__TOKN", "a", "`token`"),
        ("APP__LISTEN__PORT", "1", "invalid type: map, expected a string for key `listen`"),
        ("APP__LISTEN", "nowhere", "cannot listen on nowhere"),
    ] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut example = Example::start_in("axum_app", directory, |command| {
            command.env(variable, value);
        });
        assert!(!example.ended().await.success(), "{variable}");
        let output = example.output();
        assert!(output.starts_with("axum_app: ") && output.contains(complaint), "{variable}: {output}");
    }
}
