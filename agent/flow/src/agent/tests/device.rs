//! A naive firmware: a ring, go-back-N, boots. Its readings are a function of boot and slot, so nothing is remembered.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use thermowell_wire::line::{
    Answer, BoilerState, FrameReader, GapNotice, GapReason, Hello, Outcome, PROTOCOL, Pong, READINGS_MAX, Samples,
    Status, ToDevice, ToGateway, encode,
};
use thermowell_wire::{Boot, CentiCelsius, Reading, Slot};

/// Nanoseconds between two slots: five times as long as a real device's, so that a minute is cheap.
pub(super) const PERIOD_NS: u64 = 20_000_000;
/// Frames that leave in one period: catching up is 128 times as fast as living.
const FRAMES: usize = 4;

pub(super) struct Device {
    pub(super) boot: Boot,
    pub(super) next: u64,
    ring: u64,
    /// When the boot began; while it lies ahead the device is off.
    pub(super) booted: u64,
    drift_ppm: i64,
    position: Option<u64>,
    status_second: u64,
    replies: VecDeque<ToGateway>,
    pub(super) reader: FrameReader,
    /// The slot behind the last one that was sent in this boot.
    pub(super) sent: u64,
    pub(super) last_n: u32,
}

/// A number that depends on both, and looks like noise.
pub(super) fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(b).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What slot `seq` of `boot` reads; none where the firmware missed it.
pub(super) fn reading(boot: Boot, seq: u64) -> Option<Reading> {
    let block = seq / 200;
    if mix(boot.0 ^ 77, block).is_multiple_of(5) && seq % 200 < 7 {
        return None;
    }
    let noise = i16::from((mix(boot.0, seq) & 0x3f).to_le_bytes()[0]);
    let marks = if mix(boot.0, seq / 50) & 1 == 0 { Reading::PUMP } else { 0 };
    Some(Reading { temperature: CentiCelsius(5_000 + noise), marks })
}

impl Device {
    pub(super) fn new(boot: Boot, booted: u64, ring: u64, drift_ppm: i64) -> Self {
        Self {
            boot,
            next: 0,
            ring,
            booted,
            drift_ppm,
            position: None,
            status_second: 0,
            replies: VecDeque::new(),
            reader: FrameReader::new(),
            sent: 0,
            last_n: 0,
        }
    }

    pub(super) fn oldest(&self) -> u64 {
        self.next.saturating_sub(self.ring)
    }

    fn clock_ns(&self, now: u64) -> u64 {
        let age = now - self.booted;
        let drift = i64::try_from(age / 1_000).unwrap() * self.drift_ppm / 1_000;
        age.checked_add_signed(drift).unwrap()
    }

    pub(super) fn reboot(&mut self, back_at: u64, random: u32) {
        self.boot = Boot::new(self.boot.counter() + 1, random);
        self.booted = back_at;
        self.next = 0;
        self.position = None;
        self.replies.clear();
        self.reader.reset();
        self.status_second = 0;
        self.sent = 0;
        self.last_n = 0;
    }

    /// Samples what is due and sends what fits.
    pub(super) fn tick(&mut self, now: u64, mut send: impl FnMut(Vec<u8>)) {
        if now < self.booted {
            return;
        }
        let clock = self.clock_ns(now);
        self.next = clock / PERIOD_NS + 1;
        while let Some(reply) = self.replies.pop_front() {
            send(frame(&stamped(reply, clock)));
        }
        if self.position.is_some() && clock / 1_000_000_000 > self.status_second {
            self.status_second = clock / 1_000_000_000;
            send(frame(&ToGateway::Status(self.status(clock))));
        }
        for _ in 0..FRAMES {
            if let Some(message) = self.advance() {
                send(frame(&message));
            }
        }
    }

    /// The next samples or gap behind the position.
    fn advance(&mut self) -> Option<ToGateway> {
        let position = self.position.filter(|&position| position < self.next)?;
        let tag = self.boot.tag();
        let boot = self.boot;
        let (message, end) = if position < self.oldest() {
            (
                ToGateway::Gap(GapNotice { tag, from: position, to: self.oldest(), reason: GapReason::Ring }),
                self.oldest(),
            )
        } else if reading(boot, position).is_none() {
            let to = (position..self.next).find(|&seq| reading(boot, seq).is_some()).unwrap_or(self.next);
            (ToGateway::Gap(GapNotice { tag, from: position, to, reason: GapReason::Missed }), to)
        } else {
            let readings: heapless::Vec<_, READINGS_MAX> =
                (position..self.next).map_while(|seq| reading(boot, seq)).take(READINGS_MAX).collect();
            let end = position + u64::try_from(readings.len()).unwrap();
            (ToGateway::Samples(Samples { tag, seq: position, readings }), end)
        };
        self.position = Some(end);
        self.sent = self.sent.max(end);
        Some(message)
    }

    pub(super) fn receive(&mut self, now: u64, bytes: &[u8]) {
        if now < self.booted {
            return;
        }
        let mut reader = core::mem::take(&mut self.reader);
        reader.feed(bytes, |frame: Result<ToDevice, _>| {
            if let Ok(message) = frame {
                self.obey(message, now);
            }
        });
        self.reader = reader;
    }

    fn obey(&mut self, message: ToDevice, now: u64) {
        match message {
            ToDevice::Identify => self.replies.push_back(self.hello(now)),
            ToDevice::Resume { boot, from } if boot == self.boot && from <= self.next => self.position = Some(from),
            ToDevice::Resume { .. } => self.replies.push_back(self.hello(now)),
            _ if self.position.is_none() => {}
            ToDevice::Ping { nonce } => self.replies.push_back(ToGateway::Pong(Pong { nonce, device_us: 0 })),
            ToDevice::Setpoint(setpoint) => {
                assert!(setpoint.boot == self.boot && setpoint.n > self.last_n, "numbers rise within a boot");
                self.last_n = setpoint.n;
                let outcome = Outcome::Accepted { flow: setpoint.flow, lease_s: setpoint.lease_s };
                self.replies.push_back(ToGateway::Answer(Answer { boot: self.boot, n: setpoint.n, outcome }));
            }
            ToDevice::Release { .. } | ToDevice::Reset { .. } => {}
        }
    }

    fn hello(&self, now: u64) -> ToGateway {
        ToGateway::Hello(Hello {
            protocol: PROTOCOL,
            boot: self.boot,
            serial_number: "TW-1".try_into().unwrap(),
            firmware: "model 1".try_into().unwrap(),
            period_us: u32::try_from(PERIOD_NS / 1_000).unwrap(),
            ring: u32::try_from(self.ring).unwrap(),
            oldest: self.oldest(),
            next: self.next,
            device_us: self.clock_ns(now) / 1_000,
            simulated: true,
            own_flow: CentiCelsius(5_500),
        })
    }

    fn status(&self, clock: u64) -> Status {
        Status {
            tag: self.boot.tag(),
            next: self.next,
            device_us: clock / 1_000,
            marks: 0,
            modulation: 0,
            return_temperature: None,
            room: None,
            outdoor: None,
            pressure_mbar: 1_500,
            setpoint: None,
            state: BoilerState::Standby,
            fault: None,
            burner_starts: 0,
        }
    }

    /// The slot that is sampled next, as a place in history.
    pub(super) fn head(&self) -> Slot {
        Slot::new(self.boot, self.next)
    }
}

/// Puts the clock of the sending into a reply.
fn stamped(reply: ToGateway, clock: u64) -> ToGateway {
    let device_us = clock / 1_000;
    match reply {
        ToGateway::Pong(pong) => ToGateway::Pong(Pong { device_us, ..pong }),
        ToGateway::Hello(hello) => ToGateway::Hello(Hello { device_us, ..hello }),
        other @ (ToGateway::Samples(_) | ToGateway::Gap(_) | ToGateway::Status(_) | ToGateway::Answer(_)) => other,
    }
}

pub(super) fn frame(message: &ToGateway) -> Vec<u8> {
    let mut out = [0; 300];
    encode(message, &mut out).unwrap().to_vec()
}
