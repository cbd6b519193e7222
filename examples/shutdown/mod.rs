//! The shutdown of the examples. Copy this file beside your own `main.rs`.

use tokio::signal;

/// Returns on Ctrl-C, or on the SIGTERM that stops a container. If SIGTERM were not handled, the
/// points of the last second would be lost.
pub(crate) async fn shutdown_signal() {
    #[cfg(unix)]
    let terminated = async {
        let signal = signal::unix::signal(signal::unix::SignalKind::terminate());
        signal.expect("signals can be waited for").recv().await;
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        _ = signal::ctrl_c() => {}
        () = terminated => {}
    }
}
