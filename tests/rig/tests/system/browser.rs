//! The dashboard in Chromium: what a viewer sees of a boiler, its cable and the gateway.

mod driver;

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rig::clock::Stopwatch;
use rig::house::{House, SOON, assert_whole};
use rustix::process::Signal;
use serde_json::Value;
use thermowell_wire::subject::{self, stream};

use driver::{Browser, Screen};

/// At most this long between a cause and the page. On an idle machine: 6 s for a cable, 2 s for its return.
const SHOWN: Duration = Duration::from_secs(20);

const FRESH: &str = "document.getElementById('pill').dataset.s === 'fresh'";
const WAITING: &str = "document.getElementById('pill').dataset.s === 'waiting'";
const HATCHED: &str = "document.getElementById('hour').innerHTML.includes('no data since ')";
/// The page has its drawings, for its present width.
const DRAWN: &str = "Date.now() - heard < 900 && (document.querySelector('#boilers svg') !== null || \
                     document.querySelector('#hour svg')?.viewBox.baseVal.width === shownWidth)";

const SCREENS: [Screen; 4] = [
    Screen { width: 1280, dark: false },
    Screen { width: 1280, dark: true },
    Screen { width: 390, dark: false },
    Screen { width: 390, dark: true },
];

/// A browser; none where there is no Chromium.
fn browser() -> Option<Browser> {
    let browser = Browser::start(super::DEMO);
    if browser.is_none() {
        super::skipped("there is no browser; apt-get install chromium chromium-driver");
    }
    browser
}

fn page(house: &House, path: &str) -> String {
    let address: SocketAddr = house.dashboard();
    format!("http://127.0.0.1:{}{path}", address.port())
}

/// Waits until an expression in the page is true; returns how long that took.
fn until_seen(house: &mut House, browser: &Browser, what: &str, expression: &str) -> Duration {
    until_seen_within(SHOWN, house, browser, what, expression)
}

fn until_seen_within(limit: Duration, house: &mut House, browser: &Browser, what: &str, expression: &str) -> Duration {
    let watch = Stopwatch::start();
    let seen = house.try_until(what, limit, |_| browser.holds(expression).then_some(()));
    if let Err(error) = seen {
        let shown = browser.value("document.querySelector('main:not([hidden])').innerText");
        panic!("{error}\nthe page shows {}", shown.as_str().unwrap_or_default());
    }
    watch.elapsed()
}

fn assert_no_sideways_scroll(browser: &Browser, screen: Screen) {
    browser.look_at(screen);
    let (needed, given) = ("document.documentElement.scrollWidth", "document.documentElement.clientWidth");
    let overflow = browser.value(&format!("[{needed}, {given}]"));
    assert!(browser.holds(&format!("{needed} <= {given}")), "{screen:?}: {overflow}");
}

/// In real time, as freshness is.
#[test]
fn page_moves_and_names_a_lost_cable_and_a_lost_gateway() {
    let Some(browser) = browser() else { return };
    let mut house = House::start(super::DEMO, &["--boilers", "1", "--speed", "1"]);
    open_when_fresh(&mut house, &browser);
    assert_eq!(browser.text("simulated"), "simulated");
    let first = (browser.text("clock"), browser.text("flow"));
    house.until("values move", SHOWN, |_| {
        (browser.text("clock") != first.0 && browser.text("flow") != first.1).then_some(())
    });

    assert_eq!(house.order("unplug b1"), "unplugged");
    let out = until_seen(&mut house, &browser, "the cable is out", &format!("{WAITING} && {HATCHED}"));
    assert_eq!(browser.text("burner").trim(), "–");
    assert_eq!(house.order("plug b1"), "plugged");
    let back = until_seen(&mut house, &browser, "the cable is back", FRESH);
    until_seen(&mut house, &browser, "the hole is filled", &format!("{FRESH} && !({HATCHED})"));

    house.role("front").signal(Signal::STOP).unwrap();
    let lost = "document.getElementById('clock').textContent.startsWith('no connection for ')";
    let gone = until_seen(&mut house, &browser, "the page is not heard", lost);
    assert!(browser.holds("document.body.dataset.lost !== 'no'"));
    house.role("front").signal(Signal::CONT).unwrap();
    until_seen(&mut house, &browser, "it is heard again", &format!("{FRESH} && !({lost})"));
    let killed = house.role("front").pid();
    house.role("front").signal(Signal::KILL).unwrap();
    house.until("it is restarted", SOON, |house| (house.role("front").pid() != killed).then_some(()));
    let since = browser.value("Date.now()");
    until_seen(&mut house, &browser, "the page is served again", &format!("{FRESH} && heard > {since}"));
    writeln!(std::io::stderr().lock(), "cable out {out:.1?}, back {back:.1?}, lost {gone:.1?}").unwrap();

    for path in ["/", "/b/b1"] {
        browser.open(&page(&house, path));
        for screen in SCREENS {
            assert_no_sideways_scroll(&browser, screen);
        }
    }
    let requests = browser.requests();
    let foreign: Vec<&String> = requests.iter().filter(|url| !url.starts_with(&page(&house, "/"))).collect();
    assert!(requests.len() > 4 && foreign.is_empty(), "{foreign:#?}");
    assert_whole(&house.close());
}

/// Saves one state on every screen, and checks that it needs no sideways scroll.
fn save(house: &House, browser: &Browser, name: &str, path: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard");
    browser.open(&page(house, path));
    for screen in SCREENS {
        assert_no_sideways_scroll(browser, screen);
        let Screen { width, dark } = screen;
        let file: PathBuf = folder.join(format!("{name}-{width}-{}.png", if dark { "dark" } else { "light" }));
        let drawn = rig::clock::until(SHOWN, || browser.holds(DRAWN).then_some(()));
        assert!(drawn.is_some(), "{name}: no drawing for {screen:?}");
        browser.picture(screen, &file);
    }
}

fn open_when_fresh(house: &mut House, browser: &Browser) {
    house.until("the dashboard listens", SOON, |house| std::net::TcpStream::connect(house.dashboard()).ok().map(drop));
    browser.open(&page(house, "/b/b1"));
    until_seen(house, browser, "fresh data", FRESH);
}

/// For people: pictures of every state, in the folder `tmp/dashboard` of the target folder. Three minutes.
#[test]
#[ignore = "it makes pictures for people to look at"]
fn pictures_of_every_state() {
    let Some(browser) = browser() else { return };
    let mut house = House::start(super::DEMO, &["--boilers", "2", "--speed", "300"]);
    open_when_fresh(&mut house, &browser);
    save(&house, &browser, "first-hour", "/b/b1");
    house.until("six hours", SOON * 5, |house| {
        let hour = house.last(stream::SNAPSHOT, &subject::snapshot(&"b1".parse().ok()?))?;
        let end = serde_json::from_slice::<Value>(&hour).ok()?["created_at"].as_i64()?;
        (end - house.plan.epoch_utc_ns / 1_000_000_000 >= 6 * 3_600).then_some(())
    });
    save(&house, &browser, "fresh", "/b/b1");
    save(&house, &browser, "two-boilers", "/");
    assert_eq!(house.order("reboot b1 400s"), "off");
    browser.open(&page(&house, "/b/b1"));
    until_seen(&mut house, &browser, "a gap", "document.getElementById('hour').innerHTML.includes('reboot')");
    save(&house, &browser, "gap", "/b/b1");
    assert_eq!(house.order("fail b1 flame 3h"), "failing");
    let lockout = "document.getElementById('fault').textContent.includes('locked out')";
    until_seen_within(SOON * 4, &mut house, &browser, "a lockout", lockout);
    save(&house, &browser, "lockout", "/b/b1");
    assert_eq!(house.order("unplug b2"), "unplugged");
    browser.open(&page(&house, "/b/b2"));
    until_seen(&mut house, &browser, "the data waits", &format!("{WAITING} && {HATCHED}"));
    save(&house, &browser, "waiting", "/b/b2");
    let stale = "document.getElementById('pill').dataset.s === 'stale'";
    until_seen_within(SOON * 4, &mut house, &browser, "the data is stale", stale);
    save(&house, &browser, "stale", "/b/b2");
    save(&house, &browser, "two-boilers-one-stale", "/");
    drop(house);

    let scenario = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    fs::write(&scenario, "[[sensor.open]]\nat = \"50 min\"\nfor = \"3h\"\n").unwrap();
    let scenario = scenario.path().to_str().expect("a temporary file has a plain name");
    let mut house = House::start(super::DEMO, &["--boilers", "1", "--speed", "300", "--scenario", scenario]);
    open_when_fresh(&mut house, &browser);
    let unknown = "document.getElementById('snapshots').textContent.includes('invalid 360')";
    until_seen_within(SOON * 4, &mut house, &browser, "an hour without a valid reading", unknown);
    save(&house, &browser, "null-hour", "/b/b1");
}
