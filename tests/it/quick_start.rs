//! The program of the README, copied, compiled, and ended by SIGTERM while clients call it.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::support::{
    example::read_points,
    http::Http,
    pasted::compile,
    process::{Process, free_port},
    source::File,
};

/// Returns the first program of a page.
fn program(page: &str) -> String {
    let text = File::read(page).text;
    let (_, rest) = text.split_once("```rust,no_run\n").expect("a program");
    rest.split("```").next().expect("an end").to_owned()
}

#[test]
fn the_first_page_of_the_documentation_has_the_same_program() {
    assert_eq!(program("src/docs/front.md"), program("README.md"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_of_the_readme_loses_no_point_to_sigterm() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let address = format!("127.0.0.1:{}", free_port());
    let text = program("README.md");
    assert_eq!(text.matches("127.0.0.1:3000").count(), 1, "{text}");
    let program = compile(&text.replace("127.0.0.1:3000", &address), directory.path());
    let mut process = Process::start("pasted", &mut Command::new(program), directory.path());

    let (http, url, deadline) = (Http::new(), format!("http://{address}/items"), Instant::now() + PATIENCE);
    while http.get(&format!("{url}/1")).await.is_err() {
        assert!(Instant::now() < deadline && process.ended().is_none(), "it does not listen");
        sleep(Duration::from_millis(5)).await;
    }
    let (answered, mut clients) = (Arc::new(AtomicU64::new(1)), JoinSet::new());
    for client in 0..CLIENTS {
        let (http, url, answered) = (Http::new(), url.clone(), Arc::clone(&answered));
        clients.spawn(async move {
            // Until the server no longer listens.
            while let Ok(answer) = http.get(&format!("{url}/{}", client % 2)).await {
                assert_eq!(answer.status, if client % 2 == 0 { 404 } else { 200 });
                answered.fetch_add(1, SeqCst);
            }
        });
    }
    while answered.load(SeqCst) < 1_000 {
        assert!(Instant::now() < deadline, "{answered:?} answers only");
        sleep(Duration::from_millis(1)).await;
    }
    let status = process.terminate(PATIENCE).await;
    clients.join_all().await;

    let log = std::fs::read_to_string(directory.path().join("pasted.log")).expect("its output");
    assert!(status.success(), "{status}: {log}");
    let texts = std::fs::read_dir(directory.path().join("monitoring-data")).expect("the files");
    let files = texts.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    let points =
        read_points(&files.map(|file| std::fs::read_to_string(file).expect("text")).collect::<String>());
    let (requests, errors) = (points["requests"].len() as u64, points["errors"].len() as u64);
    // A request may have its point although its client did not get the answer.
    let answered = answered.load(SeqCst);
    assert!((answered..=answered + CLIENTS).contains(&requests), "{requests} points, {answered} answers");
    let all = requests + errors;
    let report = format!("accepted {all} written {all} rejected 0 dropped 0 spooled 0");
    assert_eq!(log.lines().last(), Some(report.as_str()), "{log}");
}

const CLIENTS: u64 = 4;
const PATIENCE: Duration = Duration::from_secs(60);
