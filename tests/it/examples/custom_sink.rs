//! A custom sink against a receiver that starts late, breaks off midway, and then reads everything.

use std::sync::{Arc, Mutex, PoisonError};

use http::Method;
use tokio::{io::AsyncReadExt, net::TcpListener};

use crate::{
    stored::counts,
    support::{
        example::{Example, LastLine, read_points},
        process::free_port,
        service::{Planned, drive, expected},
    },
};

fn plan() -> Vec<Planned> {
    let planned = |path: String, status, error_code| Planned {
        method: Method::GET,
        path,
        route: "GET:/items/{id}",
        status,
        error_code,
    };
    (0..100)
        .map(|number| match number % 10 {
            0 => planned("/items/0".to_owned(), 404, Some("404")),
            number => planned(format!("/items/{number}"), 200, None),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_sink_loses_nothing_when_the_receiver_starts_late_and_dies() {
    let receiver = format!("127.0.0.1:{}", free_port());
    let mut example = Example::start("custom_sink", &[&receiver, "127.0.0.1:0"]);
    let url = example.url().await;
    drive(&url, plan(), 4).await;
    let refused = format!("cannot write to {receiver}: Connection refused");
    example.wait_until("a refused connection", |output| output.contains(&refused)).await;

    let listener = TcpListener::bind(&receiver).await.expect("the port is free");
    // The first batch is read in part. The unread data resets the connection.
    loop {
        let (mut connection, _) = listener.accept().await.expect("a connection");
        if connection.read_exact(&mut [0; 10]).await.is_ok() {
            break;
        }
    }
    let received = Arc::<Mutex<Vec<u8>>>::default();
    let reading = Arc::clone(&received);
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.expect("a connection");
            let mut batch = Vec::new();
            connection.read_to_end(&mut batch).await.expect("a whole batch");
            reading.lock().unwrap_or_else(PoisonError::into_inner).extend(batch);
        }
    });
    drive(&url, plan(), 4).await;

    let (requests, errors) = expected(&[plan(), plan()].concat());
    let all = requests.values().sum::<u64>() + errors.values().sum::<u64>();
    assert_eq!(example.terminate().await, LastLine::all_written(all));
    let received = received.lock().unwrap_or_else(PoisonError::into_inner);
    let points = read_points(str::from_utf8(&received).expect("line protocol is text"));
    assert_eq!((counts(&points["requests"]), counts(&points["errors"])), (requests, errors));
}
