//! The device: time and bytes in, bytes and actuators out.

use thermowell_wire::line::{FrameReader, Rejection, Status};
use thermowell_wire::{Boot, CentiCelsius, Reading};

use crate::firmware::Core;
use crate::{Actuators, Board, Config, NonVolatile};

/// One start of the firmware.
#[derive(Clone, Debug)]
pub struct Device<S> {
    reader: FrameReader,
    core: Core<S>,
}

/// What the device has done that cannot be seen from its bytes alone. For a debug log; a simulator keeps account by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Slots `from..to` were not sampled.
    Missed {
        /// The first of them.
        from: u64,
        /// The first slot behind them.
        to: u64,
    },
    /// Slots `from..to` were wanted and are overwritten: the gateway is told so.
    Overwritten {
        /// The first of them.
        from: u64,
        /// The first slot behind them.
        to: u64,
        /// Device time.
        device_us: u64,
    },
    /// A lease began.
    LeaseAccepted {
        /// The request's number.
        n: u32,
        /// Within the limits of the device.
        flow: CentiCelsius,
        /// As given.
        lease_s: u16,
        /// Device time of its beginning.
        device_us: u64,
    },
    /// The boiler is on its own control from here on.
    OwnControl {
        /// The request's number, of the lease that ended.
        n: u32,
        /// Device time of the end.
        device_us: u64,
    },
}

/// What the device counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames thrown away, by [`Rejection::index`].
    pub rejections: [u64; Rejection::ALL.len()],
    /// Requests before `Resume`, which are not obeyed.
    pub premature: u64,
    /// Pongs and answers that gave way to newer ones.
    pub dropped_replies: u64,
    /// Events that nobody took in time.
    pub dropped_events: u64,
}

impl<S: AsRef<[Reading]> + AsMut<[Reading]>> Device<S> {
    /// A device that starts now, at 0 of its clock, and remembers nothing. `storage` is the ring.
    ///
    /// # Panics
    /// Where `storage` is empty or the period is 0.
    #[must_use]
    pub fn new(config: Config, boot: Boot, storage: S) -> Self {
        Self::remembering(NonVolatile::default(), config, boot, storage)
    }

    /// A device that starts now, with what it kept through the power cut. `boot` comes from that memory's
    /// [`NonVolatile::start`].
    ///
    /// # Panics
    /// Where `storage` is empty or the period is 0.
    #[must_use]
    pub fn remembering(memory: NonVolatile, config: Config, boot: Boot, storage: S) -> Self {
        assert!(config.period_us > 0, "a slot has a length");
        Self { reader: FrameReader::new(), core: Core::new(memory, config, boot, storage) }
    }

    /// Samples every slot whose time has come, and controls.
    pub fn poll(&mut self, now_us: u64, board: &mut impl Board) {
        self.core.poll(now_us, board);
    }

    /// Takes what came over the line, in any chunks. At most 256 bytes at a time, or events may be dropped.
    pub fn receive(&mut self, bytes: &[u8], now_us: u64) {
        let Self { reader, core } = self;
        reader.feed(bytes, |outcome| match outcome {
            Ok(message) => core.obey(&message, now_us),
            Err(rejection) => core.counters.rejections[rejection.index()] += 1,
        });
    }

    /// Writes what may leave now into `out`, whole frames only, and returns how many bytes. At most what the line can
    /// carry; nothing where `out` is shorter than a frame can be.
    pub fn transmit(&mut self, now_us: u64, out: &mut [u8]) -> usize {
        self.core.transmit(now_us, out)
    }

    /// The oldest event that was not taken yet.
    pub fn take_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// What is commanded now.
    #[must_use]
    pub fn actuators(&self) -> &Actuators {
        self.core.control.actuators()
    }

    /// What has to survive a power cut. Whoever drives the device stores it before it moves the actuators.
    #[must_use]
    pub fn memory(&self) -> &NonVolatile {
        &self.core.memory.kept
    }

    /// This start.
    #[must_use]
    pub fn boot(&self) -> Boot {
        self.core.boot
    }

    /// The slot that is sampled next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.core.ring.next()
    }

    /// The oldest slot that it still holds.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.core.ring.oldest()
    }

    /// The flow temperature that it holds without a lease.
    #[must_use]
    pub fn own_flow(&self) -> CentiCelsius {
        self.core.own_flow()
    }

    /// Whether a lease runs.
    #[must_use]
    pub fn is_leased(&self) -> bool {
        self.core.leases.current().is_some()
    }

    /// The newest slot's reading; None before the first one, and where it was missed.
    #[must_use]
    pub fn newest(&self) -> Option<Reading> {
        self.core.newest
    }

    /// What it would say about itself at `now_us`, whether the line carries it or not.
    #[must_use]
    pub fn status(&self, now_us: u64) -> Status {
        self.core.status(now_us)
    }

    /// What it counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { dropped_replies: self.core.link.dropped(), ..self.core.counters }
    }
}
