//! The routes of the dashboard. Everything that a page needs comes from here, and the browser is told so.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::StreamExt as _;
use thermowell_wire::BoilerId;

use super::hub::{Hub, VIEWERS_MAX, View};
use super::width::Width;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("live.js");
const ICON: &str = include_str!("icon.svg");

/// Of every answer. Nothing is fetched from elsewhere, no other page embeds these, and no style or script is inline.
const HEADERS: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// The pages of `hub`.
pub(super) fn router(hub: Arc<Hub>) -> Router {
    let file = |kind: &'static str, text: &'static str| get(async move || ([(CONTENT_TYPE, kind)], text));
    Router::new()
        .route("/", file("text/html; charset=utf-8", PAGE))
        .route("/b/{boiler}", get(boiler))
        .route("/style.css", file("text/css; charset=utf-8", STYLE))
        .route("/live.js", file("text/javascript; charset=utf-8", SCRIPT))
        .route("/icon.svg", file("image/svg+xml", ICON))
        .route("/events", get(events))
        .layer(map_response(protect))
        .with_state(hub)
}

/// After an upgrade a browser asks again; live data is never kept.
async fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    response
}

async fn boiler(State(hub): State<Arc<Hub>>, Path(boiler): Path<String>) -> Response {
    match boiler.parse() {
        Ok(boiler) if hub.knows(&boiler) => ([(CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response(),
        Ok(_) | Err(_) => unknown().into_response(),
    }
}

fn unknown() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, "this gateway has no such boiler; / lists those it has\n")
}

/// The events of a view: `?w=358&boiler=b1`, without a boiler the overview's.
async fn events(State(hub): State<Arc<Hub>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let Some(Ok(width)) = value("w").map(str::parse::<Width>) else {
        let widths = Width::ALL.map(|width| width.pixels().to_string()).join(", ");
        return (StatusCode::BAD_REQUEST, format!("w must be one of {widths}\n")).into_response();
    };
    let boiler = match value("boiler").map(str::parse::<BoilerId>) {
        None => None,
        Some(Ok(boiler)) if hub.knows(&boiler) => Some(boiler),
        Some(_) => return unknown().into_response(),
    };
    let Some(events) = hub.watch(View { boiler, width }) else {
        let text = format!("{VIEWERS_MAX} pages are open, which is the most: close one of them\n");
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], text).into_response();
    };
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(events.map(Ok::<_, Infallible>))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the server sends by id has a place on the page.
    #[test]
    fn each_id_of_a_frame_is_on_the_page() {
        let ids = [
            "server",
            "simulated",
            "pill",
            "flow",
            "flow-note",
            "mean",
            "range",
            "known",
            "known-bar",
            "asked",
            "accepted",
            "setpoint-note",
            "lease",
            "burner",
            "burner-note",
            "fault",
            "hour",
            "hours",
            "so-far",
            "ledger-bar",
            "ledger",
            "ledger-note",
            "ledger-hours",
            "tabs",
            "boilers",
            "device",
            "decisions",
            "happened",
            "snapshots",
        ];
        for id in ids {
            assert_eq!(PAGE.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
        }
    }

    /// What the Content-Security-Policy would refuse, silently for the user.
    #[test]
    fn page_has_nothing_inline_and_nothing_from_elsewhere() {
        for part in ["style=", "<style", "onclick", "onload", "http://", "https://", "javascript:"] {
            assert!(!PAGE.contains(part), "{part}");
        }
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert!(!STYLE.contains("@import") && !STYLE.contains("url("));
        for sink in ["outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
            assert!(!SCRIPT.contains(sink), "{sink}");
        }
        assert_eq!(SCRIPT.matches("innerHTML").count(), 1, "drawings only");
    }

    /// Rule 6: a page that hears nothing says so by the browser's own clock, and then hides its values.
    #[test]
    fn script_names_a_lost_connection_after_4_s() {
        assert!(SCRIPT.contains("const LOST_MS = 4000, OLD_MS = 60000;"), "the limits");
        assert!(SCRIPT.contains("const silent = Date.now() - heard;"), "by its own clock");
        assert!(SCRIPT.contains("setInterval(watch, 500);"), "without an event");
        assert!(PAGE.contains("<span id=\"link\" data-s=\"lost\">"), "lost until something is heard");
    }
}
