//! The serial line: bytes are delayed, flipped, lost or replayed.

use std::collections::VecDeque;

use thermowell_flow::agent::Input;
use thermowell_wire::line::{FrameReader, GapNotice, Hello, Pong, Status, ToDevice, ToGateway, encode};

use crate::plan::{Bug, Kind, MS};
use crate::world::{START, World};

/// Least delay of a frame.
const LATENCY: u64 = MS / 5;
/// Frames to the device kept for replay.
const KEPT: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) plugged: bool,
    to_gateway: VecDeque<(u64, Vec<u8>)>,
    to_device: VecDeque<(u64, Vec<u8>)>,
    kept: VecDeque<Vec<u8>>,
    /// Only for planted bugs: a copy of the agent's reader, the next expected slot, and that of the newest sample.
    received: FrameReader,
    expected: u64,
    newest: u64,
}

impl Line {
    /// The next arrival at either end; the agent reads nothing before `reads_at`.
    pub(crate) fn next(&self, reads_at: u64) -> Option<u64> {
        let to_gateway = self.to_gateway.front().map(|(at, _)| reads_at.max(*at));
        let to_device = self.to_device.front().map(|(at, _)| *at);
        [to_gateway, to_device].into_iter().flatten().min()
    }

    /// Loses the bytes in transit.
    pub(crate) fn clear(&mut self) {
        self.to_gateway.clear();
        self.to_device.clear();
    }
}

impl World {
    pub(crate) fn send_to_gateway(&mut self, bytes: Vec<u8>) {
        if !self.line.plugged || !self.agent.lives() || self.recoveries.gateway.is_some() {
            return;
        }
        let mut bytes = self.distort(bytes);
        self.corrupt(&mut bytes);
        let last = self.line.to_gateway.back().map_or(0, |(at, _)| *at);
        let at = self.arrival(last);
        self.line.to_gateway.push_back((at, bytes));
    }

    pub(crate) fn send_to_device(&mut self, mut bytes: Vec<u8>) {
        if !self.line.plugged {
            return;
        }
        self.line.kept.push_back(bytes.clone());
        if self.line.kept.len() > KEPT {
            self.line.kept.pop_front();
        }
        self.corrupt(&mut bytes);
        let last = self.line.to_device.back().map_or(0, |(at, _)| *at);
        let at = self.arrival(last);
        self.line.to_device.push_back((at, bytes));
    }

    /// Replays old bytes that waited in the port.
    pub(crate) fn replay(&mut self) {
        let kept: Vec<Vec<u8>> = self.line.kept.iter().cloned().collect();
        for bytes in kept {
            let at = self.arrival(self.now);
            self.line.to_device.push_back((at, bytes));
        }
    }

    fn arrival(&mut self, last: u64) -> u64 {
        let stall = if self.strikes(Kind::Stall, 3) { self.random.below(300 * MS) } else { 0 };
        (self.now + LATENCY + self.random.below(3 * MS) + stall).max(last)
    }

    fn corrupt(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() || !self.strikes(Kind::Noise, 8) {
            return;
        }
        let at = self.random.index(bytes.len());
        if self.random.chance(500) {
            bytes[at] ^= 1 << self.random.below(8);
        } else {
            bytes.remove(at);
        }
    }

    pub(crate) fn deliver_line(&mut self) {
        while self.line.to_device.front().is_some_and(|(at, _)| *at <= self.now) {
            let Some((_, bytes)) = self.line.to_device.pop_front() else { break };
            let bytes = if self.bug == Some(Bug::LeaseUnbound) { self.rebind(&bytes) } else { bytes };
            self.boiler.receive(&bytes, self.now - START);
            if self.stage.is_fast() {
                // The device runs seldom here, so run it now: its answer time determines the estimate of its clock.
                self.boiler_at = self.now;
            }
        }
        while self.line.to_gateway.front().is_some_and(|(at, _)| self.agent_reads_at().max(*at) <= self.now) {
            let Some((_, bytes)) = self.line.to_gateway.pop_front() else { break };
            if self.stage.is_fast() {
                self.feed_agent(Input::Bytes(&bytes));
                continue;
            }
            // Split at a random place: the chunking must not matter.
            let cut = self.random.index(bytes.len() + 1);
            let (head, tail) = bytes.split_at(cut);
            self.feed_agent(Input::Bytes(head));
            self.feed_agent(Input::Bytes(tail));
        }
    }

    // Planted bugs of the line.

    /// [`Bug::GapAnywhere`] and [`Bug::SamplesFeedOffset`]: changes messages to what a faulty agent would use.
    fn distort(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        if !matches!(self.bug, Some(Bug::GapAnywhere | Bug::SamplesFeedOffset)) {
            return bytes;
        }
        let mut received = Vec::new();
        self.line.received.feed(&bytes, |frame| received.extend(frame.ok()));
        let mut out = Vec::new();
        for message in received {
            let message = match (message, self.bug) {
                (ToGateway::Gap(gap), Some(Bug::GapAnywhere)) => {
                    let from = self.line.expected;
                    let to = from + (gap.to - gap.from);
                    self.line.expected = to;
                    ToGateway::Gap(GapNotice { from, to, ..gap })
                }
                // The time of the last sample replaces the device's clock.
                (ToGateway::Pong(_), Some(Bug::SamplesFeedOffset)) if self.line.newest == 0 => continue,
                (ToGateway::Pong(pong), Some(Bug::SamplesFeedOffset)) => {
                    ToGateway::Pong(Pong { device_us: pong.device_us.min(self.line.newest * 10_000), ..pong })
                }
                (ToGateway::Status(status), Some(Bug::SamplesFeedOffset)) => {
                    ToGateway::Status(Status { device_us: status.device_us.min(self.line.newest * 10_000), ..status })
                }
                (ToGateway::Hello(hello), Some(Bug::SamplesFeedOffset)) => {
                    ToGateway::Hello(Hello { device_us: hello.device_us.min(self.line.newest * 10_000), ..hello })
                }
                (message, _) => message,
            };
            if let ToGateway::Samples(samples) = &message {
                let end = samples.seq + u64::try_from(samples.readings.len()).unwrap_or(0);
                (self.line.expected, self.line.newest) = (end, end);
            }
            let mut frame = [0; 256];
            out.extend_from_slice(encode(&message, &mut frame).expect("it came as a frame"));
        }
        out
    }

    /// [`Bug::LeaseUnbound`]: makes a set-point's boot match.
    fn rebind(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(boot) = self.boiler.device().map(|device| device.boot()) else { return bytes.to_vec() };
        self.rewrite(bytes, |mut message| {
            if let ToDevice::Setpoint(setpoint) = &mut message {
                setpoint.boot = boot;
            }
            message
        })
    }

    /// Applies `change` to each frame to the device. Malformed bytes stay as they are.
    pub(crate) fn rewrite(&mut self, bytes: &[u8], mut change: impl FnMut(ToDevice) -> ToDevice) -> Vec<u8> {
        let mut out = Vec::new();
        let mut whole = true;
        FrameReader::new().feed(bytes, |frame| match frame {
            Ok(message) => {
                if let ToDevice::Resume { from, .. } = message {
                    (self.line.expected, self.line.newest) = (from, 0);
                }
                let mut frame = [0; 64];
                out.extend_from_slice(encode(&change(message), &mut frame).expect("it came as a frame"));
            }
            Err(_) => whole = false,
        });
        if whole { out } else { bytes.to_vec() }
    }
}
