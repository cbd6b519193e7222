//! Outgoing calls by target and long connections by kind on the page.

use std::convert::Infallible;

use axum::{Router, body::Body};
use http::{Request, Response, StatusCode};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_influx::{Settings, live::LivePage};

use crate::labels::monitor;

async fn document(page: &Router) -> String {
    let request = Request::get("/").body(Body::empty()).expect("a request");
    let response = page.clone().oneshot(request).await.expect("never fails");
    assert_eq!(response.status(), StatusCode::OK);
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    String::from_utf8(body.to_vec()).expect("text")
}

/// The cells of the rows of a table, without markup.
fn rows(document: &str, class: &str) -> Vec<Vec<String>> {
    let start = format!("<table class=\"{class}\">");
    let Some((_, rest)) = document.split_once(&start) else { return Vec::new() };
    let (table, _) = rest.split_once("</table>").expect("an end");
    let (_, rows) = table.split_once("<tbody>").expect("a body");
    let cells = |row: &str| {
        let ends = row.replace("</th>", "</td>");
        let cells = ends.split("</td>").filter_map(|cell| cell.rsplit_once('>'));
        cells.map(|(_, text)| text.to_owned()).filter(|text| !text.trim().is_empty()).collect()
    };
    rows.split("<tr>").skip(1).map(cells).collect()
}

#[tokio::test]
async fn the_page_shows_targets_and_connections_where_there_are_any() {
    let (monitor, _) = monitor(Settings::new("shop"));
    let page = LivePage::new(&monitor).router();
    let empty = document(&page).await;
    assert!(!empty.contains("Outgoing calls") && !empty.contains("Connections"), "{empty}");

    let inner = service_fn(|request: Request<()>| async move {
        if request.uri() == "/hangs" {
            std::future::pending::<()>().await;
        }
        let status = if request.uri() == "/good" { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
        Ok::<_, Infallible>(Response::builder().status(status).body(String::new()).expect("a response"))
    });
    let request = |path: &str| Request::get(path).body(()).expect("a request");
    let mut client = monitor.client_layer("payments").layer(inner);
    for path in ["/good", "/good", "/bad"] {
        client.call(request(path)).await.expect("never fails");
    }
    let hanging = client.call(request("/hangs"));
    drop(monitor.client_layer("<b>idle"));
    let open = [monitor.connection("chat"), monitor.connection("chat")];
    drop(monitor.connection("<i>events"));

    let shown = document(&page).await;
    assert!(!shown.contains("<b>idle") && !shown.contains("<i>events"), "shown as text: {shown}");
    assert_eq!(rows(&shown, "targets"), [["&#60;b&#62;idle", "0", "0", "0"], ["payments", "3", "1", "1"]]);
    assert_eq!(rows(&shown, "connections"), [["&#60;i&#62;events", "0", "1"], ["chat", "2", "0"]]);

    drop((hanging, open));
    let shown = document(&page).await;
    assert_eq!(rows(&shown, "targets")[1], ["payments", "4", "2", "0"]);
    assert_eq!(rows(&shown, "connections")[1], ["chat", "0", "2"]);
}
