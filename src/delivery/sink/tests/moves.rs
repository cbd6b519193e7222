//! A server's name that changes its address while the service runs. It is a real name, resolved by
//! the system, in a process with its own `/etc/hosts`.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use super::{
    InfluxClient, WriteErrorKind,
    fault_server::{FaultServer, Step},
    for_each_client, sink,
    support::live,
    write,
};

for_each_client!(
    points_follow_a_name_that_leaves_a_failing_server,
    points_follow_a_name_that_leaves_a_working_server
);

/// The client is replaced as soon as three writes have failed, whatever the failure.
async fn points_follow_a_name_that_leaves_a_failing_server(client: InfluxClient) {
    let test = "points_follow_a_name_that_leaves_a_failing_server";
    let Some(hosts) = own_hosts(test, client) else { return };
    let failures = [500, 502, 503, 429, 401, 403, 404].map(|status| Step::text(status, "no"));
    for failure in failures.into_iter().chain([Step::Reset]) {
        let old = FaultServer::start({
            let failure = failure.clone();
            move |_| failure.clone()
        });
        let old = old.await;
        let new = beside(&old).await;
        lead(&hosts, old.address());
        let sink = sink(client, &url_of(&old));
        write(&sink, 1).await.expect_err("it fails");
        lead(&hosts, new.address());
        let mut writes = 1;
        while write(&sink, 1).await.is_err() {
            writes += 1;
            assert!(writes <= 3, "{failure:?}: the old address is still in use");
        }
        assert!(old.received().len() <= 3 && new.received().len() == 1, "{failure:?}");
    }
}

/// The client is replaced as soon as it is five minutes old.
async fn points_follow_a_name_that_leaves_a_working_server(client: InfluxClient) {
    let test = "points_follow_a_name_that_leaves_a_working_server";
    let Some(hosts) = own_hosts(test, client) else { return };
    let old = FaultServer::scripted([]).await;
    let new = beside(&old).await;
    lead(&hosts, old.address());
    let sink = sink(client, &url_of(&old));
    write(&sink, 1).await.expect("204");
    lead(&hosts, new.address());
    // Writes often, so that the connection is never idle for long.
    for _ in 0..10 {
        pass(Duration::from_secs(29)).await;
        write(&sink, 1).await.expect("204");
    }
    assert_eq!((old.received().len(), new.received().len()), (11, 0), "a connection that works is kept");
    assert_eq!(old.connections(), 1);
    pass(Duration::from_secs(11)).await;
    for _ in 0..3 {
        write(&sink, 1).await.expect("204");
    }
    assert_eq!((old.received().len(), new.received().len(), new.connections()), (11, 3, 1));
    // The name moves back, to a server that does not run at first.
    drop(old);
    lead(&hosts, SocketAddr::from((Ipv4Addr::new(127, 0, 0, 3), new.address().port())));
    pass(Duration::from_secs(5 * 60)).await;
    assert_eq!(write(&sink, 1).await.expect_err("nobody listens").kind, WriteErrorKind::Transient);
    lead(&hosts, new.address());
    write(&sink, 1).await.expect("a refused connection is made anew, to the new address");
}

/// Advances the clock of the runtime, by which clients age. Sockets are real.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Starts a working server at another address with the same port.
async fn beside(old: &FaultServer) -> FaultServer {
    FaultServer::start_at((Ipv4Addr::new(127, 0, 0, 2), old.address().port()).into(), |_| Step::status(204))
        .await
}

fn url_of(server: &FaultServer) -> String {
    format!("http://{NAME}:{}", server.address().port())
}

fn lead(hosts: &Path, to: SocketAddr) {
    // The file is written in place, since the file itself is mounted, not its name.
    fs::write(hosts, format!("127.0.0.1 localhost\n{} {NAME}\n", to.ip())).expect("writable");
}

/// Returns the hosts file of this process. Elsewhere it runs that part of the test as a child with
/// such a file, or reports that it cannot.
fn own_hosts(test: &str, client: InfluxClient) -> Option<PathBuf> {
    if let Some(hosts) = env::var_os(HOSTS) {
        return Some(hosts.into());
    }
    let allowed = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        live::say(&format!("NOT RUN: {test}: `unshare --map-root-user --mount` is not allowed here"));
        return None;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let hosts = directory.path().join("hosts");
    fs::write(&hosts, "").expect("writable");
    let module = if client == InfluxClient::Influxdb2 { "influxdb2" } else { "reqwest" };
    let mut child = Command::new("unshare");
    child.args(["-rm", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]).arg(&hosts);
    child.arg(env::current_exe().expect("this binary"));
    child.args(["--exact", &format!("delivery::sink::tests::moves::{module}::{test}"), "--nocapture"]);
    for proxy in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        child.env_remove(proxy);
    }
    let output = child.env(HOSTS, &hosts).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let ran = output.status.success() && text.contains("1 passed");
    assert!(ran, "{text}{}", String::from_utf8_lossy(&output.stderr));
    None
}

/// A name that does not exist on the Internet.
const NAME: &str = "influx.test";
/// The variable that gives the path of the child's `/etc/hosts`.
const HOSTS: &str = "TOWER_INFLUX_TEST_HOSTS";
