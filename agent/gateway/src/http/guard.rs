//! Which requests are answered: GET and HEAD that name this listener in their `Host` header.
//!
//! DNS rebinding: a page of an attacker's site points the site's name at 127.0.0.1, and then reads as its own what is
//! served there. The browser still sends the site's name in `Host`, so only names that no site can have are answered:
//! `localhost`, those in `[http] hosts`, and plain addresses, for which there is no name to point elsewhere.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, HOST};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

/// The names that are answered.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    hosts: Arc<[String]>,
}

impl Guard {
    pub(super) fn new(hosts: &[String]) -> Self {
        Self { hosts: hosts.into() }
    }

    /// Checks every request of the router, also one for a path that it does not have.
    pub(super) fn protect(self, router: Router) -> Router {
        router.layer(from_fn_with_state(self, check))
    }

    /// # Errors
    /// The status of the refusal, and its text.
    fn admits(&self, request: &Request) -> Result<(), (StatusCode, &'static str)> {
        let mut hosts = request.headers().get_all(HOST).iter();
        let (Some(host), None) = (hosts.next().and_then(|host| name_of(host.to_str().ok()?)), hosts.next()) else {
            return Err((StatusCode::BAD_REQUEST, "one Host header is needed\n"));
        };
        let is_known = is_address(host)
            || self.hosts.iter().chain([&"localhost".to_owned()]).any(|known| known.eq_ignore_ascii_case(host));
        if !is_known {
            return Err((StatusCode::MISDIRECTED_REQUEST, "this name is not served here; see hosts in [http]\n"));
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "read only: GET and HEAD\n"));
        }
        Ok(())
    }
}

async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let Err((status, text)) = guard.admits(&request) else { return next.run(request).await };
    let mut refusal = (status, text).into_response();
    if status == StatusCode::METHOD_NOT_ALLOWED {
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    refusal
}

/// The host of a `Host` header, without its port and with the brackets of an IPv6 address.
fn name_of(header: &str) -> Option<&str> {
    let name = match header.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => port.bytes().all(|byte| byte.is_ascii_digit()).then_some(name)?,
        Some(_) | None => header,
    };
    (!name.is_empty()).then_some(name)
}

fn is_address(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()),
        None => host.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4()),
    }
}
