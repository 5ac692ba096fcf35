//! Accepts connections, and serves each within its limits.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::logs::Throttle;
use crate::shutdown::Shutdown;

/// The most connections at a time.
pub(super) const CONNECTIONS_MAX: usize = 64;
/// Bytes of a request's headers: hyper's least.
pub(super) const HEADERS_MAX: usize = 8 << 10;
/// Lines of a request's headers.
const LINES_MAX: usize = 64;
/// From the begin of a connection, or the end of the last answer, to the end of a request's headers.
pub(super) const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// How long sent bytes may wait for a client that reads none, in milliseconds.
const STALLED_MS: u32 = 10_000;
/// How long answers under way may take when the process ends.
const GRACE: Duration = Duration::from_millis(500);
/// The pause after a failure to accept: no file descriptor is free.
const AGAIN: Duration = Duration::from_secs(1);

/// Serves until `shutdown`.
pub(super) async fn run(listener: TcpListener, router: Router, mut shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (mut connections, mut failures) = (JoinSet::new(), Throttle::default());
    loop {
        let accepted = tokio::select! {
            () = shutdown.requested() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let serve = connection(stream, router.clone(), shutdown.clone());
                connections.spawn(async move {
                    serve.await;
                    drop(place);
                });
            }
            Err(error) => {
                let error = error.to_string();
                if let Some(times) = failures.admits(error.clone()) {
                    tracing::warn!(times, error, "cannot accept an HTTP connection");
                }
                sleep(AGAIN).await;
            }
        }
    }
    drop(listener);
    // What is not served by then is cut off: the set aborts its tasks.
    drop(timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await);
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
    Ok((listener.accept().await?.0, place))
}

/// Serves one connection. Its errors are the client's: a broken request is answered, a broken connection has ended.
async fn connection(stream: TcpStream, router: Router, mut shutdown: Shutdown) {
    // A client that reads nothing would keep its place until the system gives up.
    if let Err(error) = set_tcp_user_timeout(&stream, STALLED_MS) {
        tracing::debug!(%error, "an HTTP connection has no limit for a client that does not read");
    }
    let mut limits = http1::Builder::new();
    limits
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(HEADERS_MAX)
        .max_headers(LINES_MAX);
    let served = limits.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(served);
    tokio::select! {
        _ = served.as_mut() => return,
        () = shutdown.requested() => served.as_mut().graceful_shutdown(),
    }
    drop(served.await);
}
