//! The HTTP listener of a process: limits and checks for any router, and the routes that every role has.
//!
//! | limit | why |
//! |---|---|
//! | 64 connections | sixteen viewers with two or three each, and a scraper; further ones wait in the backlog |
//! | 8 KiB and 64 lines of headers | a browser's are below 1 KiB; more is answered with 431 |
//! | 10 s for a request's headers, also when idle | a client that sends nothing holds no connection for longer |
//! | 10 s without progress of an answer | a client that reads nothing holds no connection for longer |
//! | GET and HEAD | everything here is read only |
//! | the `Host` header | `guard`: no page of another site reads this one |
//!
//! It faces the network, so it never decides anything for the roles: an address that cannot be had is a warning and a
//! retry, and nothing waits for it. axum's own `serve` has none of these limits, therefore hyper is used directly.

mod guard;
mod listener;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::logs::Throttle;
use crate::metrics::{self, Board};
use crate::shutdown::Shutdown;

use guard::Guard;

/// The first pause before an address is tried again; it doubles up to [`AGAIN_MAX`].
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// The routes that every process has: `/metrics`, `/healthz`, `/readyz`. Merge a role's own pages into them.
pub fn common(board: &Arc<Board>) -> Router {
    // The condition that feeds the service manager's watchdog, too: this process's only thread still runs tasks.
    metrics::routes(board).route("/healthz", get(async || "ok\n"))
}

/// Serves `router` at `address` until `shutdown`, within the limits of this module. `hosts` are the names, besides
/// `localhost`, under which a request may ask for it.
///
/// An address that is in use, or that this machine does not have, is logged and tried again.
pub async fn serve(address: SocketAddr, hosts: &[String], router: Router, mut shutdown: Shutdown) {
    let router = Guard::new(hosts).protect(router);
    let serving = shutdown.clone();
    tokio::select! {
        () = shutdown.requested() => return,
        listener = listen(address) => listener::run(listener, router, serving),
    }
    .await;
}

async fn listen(address: SocketAddr) -> TcpListener {
    let (mut failures, mut again) = (Throttle::default(), AGAIN);
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                let tries = failures.end() + 1;
                tracing::info!(%address, tries, "serving HTTP");
                return listener;
            }
            Err(error) => {
                let error = error.to_string();
                if let Some(tries) = failures.admits(error.clone()) {
                    tracing::warn!(%address, tries, error, "cannot serve HTTP at this address, retrying");
                }
            }
        }
        sleep(again).await;
        again = (again * 2).min(AGAIN_MAX);
    }
}

#[cfg(test)]
mod tests;
