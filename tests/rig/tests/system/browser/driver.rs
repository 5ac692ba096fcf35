//! Chromium without a window, driven over WebDriver by chromedriver.
//!
//! Both are Debian's: `apt-get install chromium chromium-driver`. The browser is tied to its driver by a pipe, and the
//! driver to this process by the guard, so that neither outlives a test.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rig::clock::until;
use rig::house::SOON;
use rig::nats::free_port;
use rig::process::{Child, Launch, Programs, Role, last_lines};
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;

/// What the browser does by itself is off: it must not reach for its maker, and a picture must not depend on a display.
const ARGUMENTS: [&str; 11] = [
    "--headless=new",
    "--window-size=1280,844",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-pipe",
];

/// How the page is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    pub(super) width: u32,
    pub(super) dark: bool,
}

pub(super) struct Browser {
    agent: Agent,
    /// The address of the session.
    session: String,
    /// The driver; the browser ends with it.
    _driver: Child,
    _folder: TempDir,
}

/// The program of this name on the PATH.
fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

impl Browser {
    /// A browser with an empty profile; `None` where there is none.
    ///
    /// # Panics
    /// It does not start.
    pub(super) fn start(multi_call: &str) -> Option<Self> {
        let (driver, chromium) = (on_path("chromedriver")?, on_path("chromium")?);
        let folder = TempDir::new().unwrap();
        let port = free_port().unwrap();
        let launch = Launch {
            name: "chromedriver".to_owned(),
            programs: Programs::at(multi_call),
            role: Role::Program(driver),
            args: vec![format!("--port={port}").into()],
            log: folder.path().join("chromedriver.log"),
        };
        let driver = Child::spawn(&launch).unwrap();
        let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
        let arguments: Vec<&str> = ARGUMENTS.into_iter().chain([profile.as_str()]).collect();
        let options = json!({ "args": arguments, "binary": chromium });
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "performance": "ALL" } });
        let session = json!({ "capabilities": { "alwaysMatch": wanted } });
        // A page that does not answer is an error of the driver, with a body.
        let config = Agent::config_builder().timeout_global(Some(SOON)).http_status_as_error(false).build();
        let agent = Agent::new_with_config(config);
        let sessions = format!("http://127.0.0.1:{port}/session");
        let answer = until(SOON, || post(&agent, &sessions, &session).ok());
        let id = answer.as_ref().and_then(|answer| answer["sessionId"].as_str());
        let Some(id) = id else { panic!("no browser: {answer:?}\n{}", last_lines(&launch.log)) };
        Some(Self { session: format!("{sessions}/{id}"), agent, _driver: driver, _folder: folder })
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        let answer = post(&self.agent, &format!("{}/{path}", self.session), body);
        answer.unwrap_or_else(|error| panic!("{path} {body}: {error}"))
    }

    /// A command of the browser's own protocol.
    fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.command("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    pub(super) fn open(&self, url: &str) {
        self.command("url", &json!({ "url": url }));
    }

    /// The value of an expression in the page.
    pub(super) fn value(&self, expression: &str) -> Value {
        self.command("execute/sync", &json!({ "script": format!("return {expression}"), "args": [] }))
    }

    /// Whether an expression in the page is true.
    pub(super) fn holds(&self, expression: &str) -> bool {
        self.value(expression) == Value::Bool(true)
    }

    /// The text of the element with this id.
    pub(super) fn text(&self, id: &str) -> String {
        self.value(&format!("document.getElementById('{id}').textContent")).as_str().unwrap_or_default().to_owned()
    }

    /// Lays the page out for another screen.
    pub(super) fn look_at(&self, screen: Screen) {
        let Screen { width, dark } = screen;
        let metrics = json!({ "width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 560 });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", media);
    }

    /// A picture of the whole page.
    pub(super) fn picture(&self, screen: Screen, path: &Path) {
        let height = self.value("document.documentElement.scrollHeight").as_u64().expect("a page has a height");
        let clip = json!({ "x": 0, "y": 0, "width": screen.width, "height": height, "scale": 1 });
        let answer = self.devtools("Page.captureScreenshot", json!({ "captureBeyondViewport": true, "clip": clip }));
        let png = STANDARD.decode(answer["data"].as_str().expect("a picture is text")).unwrap();
        fs::create_dir_all(path.parent().expect("a file is in a folder")).unwrap();
        fs::write(path, png).unwrap();
    }

    /// The addresses that its pages have asked for since the last call. `chrome:` and `data:` leave no browser.
    pub(super) fn requests(&self) -> Vec<String> {
        let log = self.command("se/log", &json!({ "type": "performance" }));
        let message = |entry: &Value| serde_json::from_str::<Value>(entry["message"].as_str()?).ok();
        let messages = log.as_array().expect("a log is a list").iter().filter_map(message);
        messages
            .filter(|entry| entry["message"]["method"] == "Network.requestWillBeSent")
            .map(|entry| entry["message"]["params"]["request"]["url"].as_str().unwrap_or_default().to_owned())
            .filter(|url| !["chrome:", "data:"].iter().any(|inside| url.starts_with(inside)))
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // If it does not answer any more, it ends with its driver.
        self.agent.delete(&self.session).call().map(drop).unwrap_or_default();
    }
}

/// The value of the driver's answer.
fn post(agent: &Agent, url: &str, body: &Value) -> Result<Value, String> {
    let answer = agent.post(url).send_json(body).and_then(|mut answer| answer.body_mut().read_json::<Value>());
    let mut answer = answer.map_err(|error| error.to_string())?;
    let value = answer["value"].take();
    if value["error"].is_string() { Err(value.to_string()) } else { Ok(value) }
}
