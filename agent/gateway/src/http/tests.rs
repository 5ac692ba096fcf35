use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use axum::body::{Body, Bytes};
use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::listener::{CONNECTIONS_MAX, HEADERS_MAX, HEADERS_WITHIN};
use super::*;
use crate::config::Config;
use crate::shutdown::Trigger;

/// The bound for a test that fails; a test that passes does not wait.
const PATIENCE: Duration = Duration::from_secs(30);

fn board() -> Arc<Board> {
    let text = "[[boiler]]\nid = \"b1\"\nport = \"/dev/b1\"\n";
    Board::new(&Config::parse(text, "t.toml").unwrap(), &["agent"])
}

struct Bench {
    address: SocketAddr,
    trigger: Trigger,
    served: JoinHandle<()>,
}

impl Bench {
    async fn new() -> Self {
        Self::with(Router::new()).await
    }

    /// With more pages.
    async fn with(pages: Router) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (trigger, shutdown) = Shutdown::manual();
        let address = listener.local_addr().unwrap();
        let router = Guard::new(&["cellar.local".to_owned()]).protect(common(&board()).merge(pages));
        let served = tokio::spawn(listener::run(listener, router, shutdown));
        Self { address, trigger, served }
    }

    async fn open(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// The answer to these lines, until the server closes the connection.
    async fn ask(&self, lines: &str) -> String {
        let mut stream = self.open().await;
        stream.write_all(format!("{lines}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
        rest_of(&mut stream).await
    }
}

async fn rest_of(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that is reset after its answer has been read is closed too.
    drop(timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server closes the connection"));
    String::from_utf8(answer).unwrap()
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

#[tokio::test]
async fn only_known_hosts_are_answered() {
    let bench = Bench::new().await;
    for host in ["localhost", "LocalHost:8080", "127.0.0.1", "127.0.0.1:8081", "[::1]", "[::1]:80", "cellar.local:80"] {
        assert_eq!(status(&bench.ask(&format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n")).await), "200", "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "cellar.local.", "[evil]", "::1"] {
        assert_eq!(status(&bench.ask(&format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n")).await), "421", "{host}");
    }
    for lines in ["", "Host: \r\n", "Host: localhost:x\r\n", "Host: localhost\r\nHost: evil.example\r\n"] {
        assert_eq!(status(&bench.ask(&format!("GET /healthz HTTP/1.1\r\n{lines}")).await), "400", "{lines}");
    }
}

#[tokio::test]
async fn only_reading_methods_are_answered() {
    let bench = Bench::new().await;
    let ask = async |line: &str| bench.ask(&format!("{line} HTTP/1.1\r\nHost: localhost\r\n")).await;
    assert!(ask("GET /healthz").await.ends_with("\r\n\r\nok\n"));
    assert!(ask("HEAD /healthz").await.ends_with("\r\n\r\n"));
    assert_eq!(status(&ask("GET /absent").await), "404");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let answer = ask(&format!("{method} /healthz")).await;
        assert!(status(&answer) == "405" && answer.contains("allow: GET, HEAD\r\n"), "{method}: {answer}");
    }
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let bench = Bench::new().await;
    let long = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n", "x".repeat(HEADERS_MAX));
    assert_eq!(status(&bench.ask(&long).await), "431");
    let many = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{}", "X: x\r\n".repeat(100));
    assert_eq!(status(&bench.ask(&many).await), "431");
}

/// One says nothing, one begins a request and never ends it, one is idle after its answer.
#[tokio::test]
async fn silent_slow_and_idle_connections_are_closed() {
    let bench = Bench::new().await;
    let (mut silent, mut slow, mut idle) = (bench.open().await, bench.open().await, bench.open().await);
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: ").await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let began = crate::clock::boottime_ns();
    let (_, _, answer) = tokio::join!(rest_of(&mut silent), rest_of(&mut slow), rest_of(&mut idle));
    assert_eq!(status(&answer), "200");
    let took = Duration::from_nanos(crate::clock::boottime_ns() - began);
    assert!(took >= HEADERS_WITHIN / 2, "idle connections are kept for a while: {took:?}");
}

#[tokio::test]
async fn client_that_does_not_read_is_cut_off() {
    let (alive, gone) = oneshot::channel::<()>();
    let alive = Mutex::new(Some(alive));
    let endless = move || {
        let alive = alive.lock().unwrap().take();
        let page = stream::repeat(Ok::<_, Infallible>(Bytes::from_static(&[b' '; 4_096])));
        std::future::ready(Body::from_stream(page.inspect(move |_| assert!(alive.is_some(), "one client asks"))))
    };
    let endless = Arc::new(endless);
    let bench = Bench::with(Router::new().route("/endless", get(move || endless()))).await;
    let mut stream = bench.open().await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    timeout(PATIENCE, gone).await.expect("the answer is dropped").unwrap_err();
}

#[tokio::test]
async fn connection_beyond_the_limit_waits_for_a_place() {
    let bench = Bench::new().await;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = bench.open().await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        timeout(PATIENCE, stream.readable()).await.unwrap().unwrap();
        held.push(stream);
    }
    let mut late = bench.open().await;
    late.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let early = timeout(Duration::from_millis(200), late.readable()).await;
    assert!(early.is_err(), "all places are taken");
    held.pop();
    assert_eq!(status(&rest_of(&mut late).await), "200");
}

#[tokio::test]
async fn shutdown_ends_idle_connections_and_the_listener() {
    let bench = Bench::new().await;
    let mut idle = bench.open().await;
    bench.ask("GET /healthz HTTP/1.1\r\nHost: localhost\r\n").await;
    bench.trigger.request();
    timeout(PATIENCE, bench.served).await.expect("it ends").unwrap();
    assert_eq!(rest_of(&mut idle).await, "");
    assert!(TcpStream::connect(bench.address).await.is_err());
}

#[tokio::test]
async fn address_in_use_is_tried_again() {
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = holder.local_addr().unwrap();
    let (trigger, shutdown) = Shutdown::manual();
    let served = tokio::spawn(async move { serve(address, &[], common(&board()), shutdown).await });
    // It finds the address in use before the holder leaves.
    tokio::task::yield_now().await;
    drop(holder);
    let answer = async {
        loop {
            if let Ok(mut stream) = TcpStream::connect(address).await {
                stream
                    .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    .await
                    .unwrap();
                return rest_of(&mut stream).await;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert_eq!(status(&timeout(PATIENCE, answer).await.expect("the address is free")), "200");
    trigger.request();
    timeout(PATIENCE, served).await.expect("it ends").unwrap();
}
