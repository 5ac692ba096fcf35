//! The serial link: identity and liveness of the device.
//!
//! ```text
//!            PortOpened                Hello accepted
//!   Down ───────────────▶ Silent ──────────────────────▶ Up
//!    ▲                      ▲ │ Hello refused             │
//!    │ PortClosed           │ └──────────▶ Refused         │ 1 s without a valid frame
//!    └── from anywhere      └──────────────────────────────┘
//! ```
//!
//! `Identify` is sent on opening, after a second without a valid frame, on an unknown tag, and once a second to a
//! refused device. The session outlives the port: the facts about a boot remain valid while the cable is disconnected.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use thermowell_wire::line::{Hello, PROTOCOL, Status, ToDevice};
use thermowell_wire::{Boot, Slot, device_id};

use crate::published;
use crate::time::{BOOT_NS_MAX, Monotonic};

/// Number of pings sent in quick succession after the first `Resume`: stamping waits for some of the answers.
pub const QUICK_PINGS: u32 = 10;
/// Number of pings whose answer is still accepted: older ones do not improve the clock estimate.
const PINGS_MAX: usize = 8;
/// 2³² ÷ the golden ratio.
const GOLDEN: u32 = 0x9e37_79b9;
/// The longest period that a device may have: stamps keep it in 32 bits of nanoseconds.
const PERIOD_US_MAX: u32 = 4_000_000;

/// Slot n is at n × period of the device's clock, so its clock and its next slot must agree. If they differ by more
/// than this, the longest time that a ring covers, one of the two is wrong.
const APART_US_MAX: u64 = 120_000_000;

/// Durations of the link, on the flow axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Without a valid frame for this long, `Identify` is sent; also the pause between two `Identify`.
    pub silence: Duration,
    /// Between two pings, at most.
    pub ping: Duration,
    /// Between the first pings, at most.
    pub ping_quick: Duration,
    /// A ping is sent earlier by a varying part of this.
    pub ping_sweep: Duration,
}

impl Timing {
    /// How much earlier ping `nonce` is sent.
    ///
    /// An adapter delivers bytes when its timer fires, every 1 to 16 ms. Pings at a multiple of that would all wait
    /// equally long for the timer; at multiples of the golden ratio they are spread evenly over its interval, whatever
    /// that is.
    fn sweep_at(&self, nonce: u32) -> Duration {
        let part = u64::from(nonce.wrapping_mul(GOLDEN));
        let sweep_ns = u64::try_from(self.ping_sweep.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos((sweep_ns >> 16).saturating_mul(part >> 16))
    }
}

/// An accepted device and its last reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The last `Hello`.
    pub hello: Hello,
    /// The slot that it samples next, as far as reported.
    pub next: u64,
    /// The last status of this boot.
    pub status: Option<Status>,
}

impl Session {
    #[must_use]
    pub fn boot(&self) -> Boot {
        self.hello.boot
    }

    /// The device's 32-bit id in packed layouts.
    #[must_use]
    pub fn device(&self) -> u32 {
        device_id(&self.hello.serial_number)
    }

    /// Nanoseconds of device time between two slots.
    #[must_use]
    pub fn period_ns(&self) -> u32 {
        // `refusal` has checked the product's range.
        self.hello.period_us.saturating_mul(1_000)
    }

    /// The last slot within the range of stamp arithmetic: 73 years at 10 ms.
    #[must_use]
    pub fn seq_max(&self) -> u64 {
        seq_max(&self.hello)
    }

    /// Whether a status is plausible: its clock agrees with its next slot.
    #[must_use]
    pub fn agrees(&self, status: &Status) -> bool {
        agree(status.next, self.hello.period_us, status.device_us)
    }

    /// Whether `device_us` is plausible for the device's clock, by its reports so far.
    #[must_use]
    pub fn can_show(&self, device_us: u64) -> bool {
        agree(self.next, self.hello.period_us, device_us)
    }

    /// Whether slots below `end` can exist, by the device's reports so far.
    #[must_use]
    pub fn can_reach(&self, end: u64) -> bool {
        let ahead = APART_US_MAX / u64::from(self.hello.period_us.max(1));
        end <= self.seq_max() && end <= self.next.saturating_add(ahead)
    }

    /// The oldest slot that the ring can still hold.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.hello.oldest.max(self.next.saturating_sub(u64::from(self.hello.ring)))
    }

    /// Records that slots below `next` exist.
    pub fn saw_next(&mut self, next: u64) {
        self.next = self.next.max(next);
    }
}

/// How the reason for a refusal begins if the device is newer than this program.
pub const OTHER_PROTOCOL: &str = "it speaks protocol";

/// The result of a `Hello`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// The same boot as before, or the first one of this run.
    Accepted {
        /// There was no session for this boot.
        new: bool,
    },
    /// The device is refused and not read.
    Refused {
        /// The cause, and what to do.
        reason: String,
        /// The reason differs from the last one.
        news: bool,
    },
}

/// The link of one boiler.
#[derive(Clone, Debug)]
pub struct Link {
    timing: Timing,
    bound: Option<String>,
    simulated_only: bool,
    state: published::Link,
    session: Option<Session>,
    /// When the last valid frame was received, or the port was opened.
    last_frame: Monotonic,
    identified: Option<Monotonic>,
    refused: Option<String>,
    nonce: u32,
    /// The unanswered pings since the port was opened, and when they were sent. Other pongs are stale bytes of the
    /// port, or duplicates.
    pinged: heapless::Deque<(u32, Monotonic), PINGS_MAX>,
    ping_at: Option<Monotonic>,
    quick_left: u32,
}

impl Link {
    /// A link with a closed port, bound to `serial_number` or to the first device that connects.
    #[must_use]
    pub fn new(timing: Timing, serial_number: Option<String>, simulated_only: bool) -> Self {
        Self {
            timing,
            bound: serial_number,
            simulated_only,
            state: published::Link::Down,
            session: None,
            last_frame: Monotonic::default(),
            identified: None,
            refused: None,
            nonce: 0,
            pinged: heapless::Deque::new(),
            ping_at: None,
            quick_left: 0,
        }
    }

    /// The state as published.
    #[must_use]
    pub fn state(&self) -> published::Link {
        self.state
    }

    /// The device that was accepted since the port was opened.
    #[must_use]
    pub fn live(&self) -> Option<&Session> {
        self.session.as_ref().filter(|_| self.ping_at.is_some())
    }

    /// The last accepted device, whether the port is open or not.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The last accepted device, for updates from its messages.
    pub fn session_mut(&mut self) -> Option<&mut Session> {
        self.session.as_mut()
    }

    /// The serial number that this link is bound to.
    #[must_use]
    pub fn bound(&self) -> Option<&str> {
        self.bound.as_deref()
    }

    /// The port was opened: earlier reports no longer count.
    pub fn open(&mut self, now: Monotonic, out: &mut Vec<ToDevice>) {
        self.state = published::Link::Silent;
        self.last_frame = now;
        self.ping_at = None;
        self.pinged.clear();
        self.identify(now, out);
    }

    /// The port was closed.
    pub fn close(&mut self) {
        self.state = published::Link::Down;
        self.ping_at = None;
        self.identified = None;
    }

    /// A valid frame was received.
    pub fn frame_received(&mut self, now: Monotonic) {
        self.last_frame = now;
        if self.state == published::Link::Silent && self.ping_at.is_some() {
            self.state = published::Link::Up;
        }
    }

    /// Takes a `Hello`. `held` is the end of the held slots of its boot.
    pub fn greet(&mut self, now: Monotonic, hello: Hello, held: Option<Slot>) -> Greeting {
        if let Some(reason) = self.refusal(&hello, held) {
            return self.refuse(reason);
        }
        self.refused = None;
        self.state = published::Link::Up;
        self.bound.get_or_insert_with(|| hello.serial_number.to_string());
        let before = self.session.as_ref().map(Session::boot);
        let new = before != Some(hello.boot);
        match self.session.as_mut().filter(|_| !new) {
            Some(session) => {
                session.saw_next(hello.next);
                session.hello = hello;
            }
            None => self.session = Some(Session { next: hello.next, hello, status: None }),
        }
        if new || self.ping_at.is_none() {
            self.quick_left = QUICK_PINGS;
            self.ping_at = Some(now);
            self.pinged.clear();
        }
        Greeting::Accepted { new }
    }

    /// Refuses the device for a `reason` that may come from outside the link.
    pub fn refuse(&mut self, reason: String) -> Greeting {
        self.state = published::Link::Refused;
        self.ping_at = None;
        let news = self.refused.as_ref() != Some(&reason);
        self.refused = Some(reason.clone());
        Greeting::Refused { reason, news }
    }

    /// The board was replaced: drops the state of the previous one, including its boots.
    pub fn release(&mut self) {
        self.bound = None;
        self.session = None;
    }

    /// Why this device is refused; `None` if it is accepted.
    fn refusal(&self, hello: &Hello, held: Option<Slot>) -> Option<String> {
        if hello.protocol > PROTOCOL {
            return Some(format!("{OTHER_PROTOCOL} {}, this gateway up to {PROTOCOL}: update it", hello.protocol));
        }
        if let Some(bound) = self.bound.as_deref().filter(|&bound| bound != hello.serial_number.as_str()) {
            let serial = &hello.serial_number;
            return Some(format!("its serial number is {serial}, this boiler is bound to {bound}: check the port"));
        }
        if self.simulated_only && !hello.simulated {
            return Some(
                "it is not simulated, but the clock is not real: take speed and step_file out of [clock]".into(),
            );
        }
        if hello.period_us == 0 || hello.period_us > PERIOD_US_MAX {
            return Some(format!("its sampling period of {} µs is out of range", hello.period_us));
        }
        if hello.next > seq_max(hello) {
            return Some(format!("its next slot {} lies decades ahead", hello.next));
        }
        if !agree(hello.next, hello.period_us, hello.device_us) {
            let Hello { device_us, next, period_us, .. } = hello;
            return Some(format!("its clock shows {device_us} µs, but slot {next} of {period_us} µs is its next one"));
        }
        let known = self.session.as_ref().map(Session::boot);
        if known.is_some_and(|known| known > hello.boot) {
            return Some(format!("its boot {} is older than one already seen", hello.boot));
        }
        let end = held.filter(|held| held.boot == hello.boot && held.seq > hello.next)?;
        Some(format!("its next slot is {}, but {} is held already: its boots are not unique", hello.next, end.seq))
    }

    /// A frame of another boot than the session's was received.
    pub fn foreign(&mut self, now: Monotonic, out: &mut Vec<ToDevice>) {
        if self.identified.is_none_or(|last| now.since(last) >= self.timing.silence) {
            self.identify(now, out);
        }
    }

    /// Whether a ping is unanswered.
    #[must_use]
    pub fn awaits_pong(&self) -> bool {
        !self.pinged.is_empty()
    }

    /// When the ping of this pong was sent, if it was sent since the port was opened. Each ping is answered once.
    pub fn answered(&mut self, nonce: u32) -> Option<Monotonic> {
        self.ping_at?;
        let (_, asked) = *self.pinged.iter().find(|(asked, _)| *asked == nonce)?;
        while self.pinged.pop_front().is_some_and(|(asked, _)| asked != nonce) {}
        Some(asked)
    }

    /// Sends the messages that are due.
    pub fn wake(&mut self, now: Monotonic, out: &mut Vec<ToDevice>) {
        if self.identify_at().is_some_and(|at| at <= now) {
            if self.state == published::Link::Up {
                self.state = published::Link::Silent;
            }
            self.identify(now, out);
        }
        if self.ping_at.is_some_and(|at| at <= now) {
            out.push(ToDevice::Ping { nonce: self.nonce });
            if self.pinged.is_full() {
                self.pinged.pop_front();
            }
            self.pinged.push_back((self.nonce, now)).expect("room was made");
            self.nonce = self.nonce.wrapping_add(1);
            self.quick_left = self.quick_left.saturating_sub(1);
            let pause = if self.quick_left > 0 { self.timing.ping_quick } else { self.timing.ping };
            self.ping_at = Some(now.after(pause.saturating_sub(self.timing.sweep_at(self.nonce))));
        }
    }

    /// The latest time at which [`Link::wake`] must be called.
    #[must_use]
    pub fn wake_at(&self) -> Option<Monotonic> {
        [self.identify_at(), self.ping_at].into_iter().flatten().min()
    }

    fn identify_at(&self) -> Option<Monotonic> {
        let asked = self.identified.unwrap_or(self.last_frame);
        match self.state {
            published::Link::Down => None,
            // Without a session: frames for a previous gateway do not identify the device.
            published::Link::Silent | published::Link::Up if self.ping_at.is_some() => {
                Some(asked.max(self.last_frame).after(self.timing.silence))
            }
            published::Link::Refused | published::Link::Silent | published::Link::Up => {
                Some(asked.after(self.timing.silence))
            }
        }
    }

    fn identify(&mut self, now: Monotonic, out: &mut Vec<ToDevice>) {
        self.identified = Some(now);
        out.push(ToDevice::Identify);
    }
}

fn seq_max(hello: &Hello) -> u64 {
    BOOT_NS_MAX / u64::from(hello.period_us.saturating_mul(1_000).max(1))
}

/// Whether a clock that shows `device_us` agrees with the next slot.
fn agree(next: u64, period_us: u32, device_us: u64) -> bool {
    next.saturating_mul(u64::from(period_us)).abs_diff(device_us) <= APART_US_MAX
}
