//! Many boilers without a plant: the real firmware on a board that always reads the same pipe, at pseudo-terminals.
//!
//! One thread serves them all. A boiler's frames are those of a device that is polled at every slot; they are written
//! five slots at a time, as an adapter hands them over. The turns of the boilers are spread over those five slots, so
//! that the load is even.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use firmware_sim::port::{Port, PortKind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thermowell_device::{Actuators, Board, Config, Device, Inputs, Measured, NonVolatile};
use thermowell_wire::{BoilerId, CentiCelsius, Quality, Reading};

use crate::clock::{Stopwatch, thread_cpu};

/// Between two slots.
const SLOT_US: u64 = 10_000;
/// Slots from one turn of a boiler to the next.
const TURN: u64 = 5;
/// What a device remembers, in slots: a gateway of the bench is never away for longer.
const RING: usize = 3_000;
/// Frames of one turn, and answers.
const SPACE: usize = 4_096;

/// The boilers, until it is dropped.
pub(super) struct Fleet {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    end: AtomicBool,
    /// The slot that every device samples next.
    next: AtomicU64,
    /// How late the latest turn was, in slots.
    late: AtomicU64,
    /// Processor time of the thread, in nanoseconds.
    used_ns: AtomicU64,
}

impl Fleet {
    /// Switches a boiler on for each of `ids`, at the port that is called after it in `folder`.
    pub(super) fn start(ids: &[BoilerId], folder: &Path) -> Result<Self> {
        allow_files()?;
        let boiler = |(index, id): (usize, &BoilerId)| Boiler::new(index, id, folder);
        let boilers = ids.iter().enumerate().map(boiler).collect::<Result<Vec<_>>>()?;
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        let thread = std::thread::Builder::new().name("fleet".to_owned()).spawn(move || serve(boilers, &own));
        Ok(Self { shared, thread: Some(thread.context("start the boilers' thread")?) })
    }

    /// The slot that every device samples next.
    pub(super) fn next(&self) -> u64 {
        self.shared.next.load(Ordering::Relaxed)
    }

    /// How late a turn was at the most since the last call.
    pub(super) fn late(&self) -> Duration {
        Duration::from_micros(self.shared.late.swap(0, Ordering::Relaxed) * SLOT_US)
    }

    /// Processor time that the boilers have taken.
    pub(super) fn used(&self) -> Duration {
        Duration::from_nanos(self.shared.used_ns.load(Ordering::Relaxed))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// A port takes two files of the agent, which inherits our limit.
fn allow_files() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("raise the limit of open files")
}

struct Boiler {
    device: Device<Vec<Reading>>,
    port: Port,
    /// Not yet written.
    outgoing: Vec<u8>,
    /// The slot of its next turn.
    turn: u64,
}

impl Boiler {
    fn new(index: usize, id: &BoilerId, folder: &Path) -> Result<Self> {
        let mut memory = NonVolatile::default();
        let boot = memory.start(u32::try_from(index)?);
        let serial_number = id.as_str().parse().map_err(|_| anyhow!("{id} is too long for a serial number"))?;
        let config = Config { serial_number, simulated: true, catch_up_slots: u64::MAX, ..Config::default() };
        let device = Device::remembering(memory, config, boot, vec![Reading::default(); RING]);
        let port = Port::open(PortKind::Pty, folder.join(id.as_str()))?;
        Ok(Self { device, port, outgoing: Vec::with_capacity(SPACE), turn: index as u64 % TURN })
    }

    /// Samples what is due, and exchanges bytes.
    fn serve(&mut self, clock: &Stopwatch) {
        let mut space = [0; SPACE];
        let is_free = self.outgoing.is_empty();
        for slot in self.device.next()..=micros(clock) / SLOT_US {
            self.device.poll(slot * SLOT_US, &mut Pipe);
            if is_free {
                self.send(slot * SLOT_US);
            }
        }
        let read = self.port.read(&mut space);
        // Pongs carry the time at which they are sent.
        let now_us = micros(clock);
        for chunk in space[..read].chunks(256) {
            self.device.receive(chunk, now_us);
        }
        if is_free {
            self.send(now_us);
        }
        let written = self.port.write(&self.outgoing);
        self.outgoing.drain(..written);
    }

    fn send(&mut self, now_us: u64) {
        let mut space = [0; SPACE];
        let written = self.device.transmit(now_us, &mut space);
        self.outgoing.extend_from_slice(&space[..written]);
    }
}

fn micros(clock: &Stopwatch) -> u64 {
    u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// A warm pipe whose last two digits move.
struct Pipe;

impl Board for Pipe {
    fn sample(&mut self, seq: u64, _: u64, _: &Actuators) -> Option<Measured> {
        let noise = i16::try_from(seq * 37 % 23).unwrap_or(0);
        Some(Measured { flow: CentiCelsius(4_500 + noise), quality: Quality::Ok, ..Measured::default() })
    }

    fn inputs(&mut self, _: u64, _: &Actuators) -> Inputs {
        let return_temperature = Some(CentiCelsius(4_000));
        Inputs { return_temperature, pressure_mbar: 1_500, ..Inputs::default() }
    }
}

fn serve(mut boilers: Vec<Boiler>, shared: &Shared) {
    let clock = Stopwatch::start();
    for slot in 0.. {
        if shared.end.load(Ordering::Relaxed) {
            return;
        }
        if let Some(early) = Duration::from_micros(slot * SLOT_US).checked_sub(clock.elapsed()) {
            std::thread::sleep(early);
        }
        for boiler in boilers.iter_mut().filter(|boiler| boiler.turn == slot) {
            boiler.serve(&clock);
            boiler.turn += TURN;
        }
        let now = micros(&clock) / SLOT_US;
        shared.next.store(now + 1, Ordering::Relaxed);
        shared.late.fetch_max(now.saturating_sub(slot), Ordering::Relaxed);
        shared.used_ns.store(u64::try_from(thread_cpu().as_nanos()).unwrap_or(0), Ordering::Relaxed);
    }
}
