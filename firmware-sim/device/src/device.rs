//! The device: time and bytes in, bytes and actuators out.

use thermowell_wire::line::{FrameReader, Rejection, Status};
use thermowell_wire::{Boot, CentiCelsius, Reading};

use crate::firmware::Core;
use crate::{Actuators, Board, Config, NoHeat, NonVolatile};

/// The firmware from one start to the next.
#[derive(Clone, Debug)]
pub struct Device<S> {
    reader: FrameReader,
    core: Core<S>,
}

/// Events that the bytes on the line do not show. For a debug log and for the simulator's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Slots `from..to` were requested but are overwritten; a gap is sent to the gateway.
    Overwritten { from: u64, to: u64, device_us: u64 },
    /// A lease began.
    LeaseAccepted {
        n: u32,
        /// Clamped to the device's limits.
        flow: CentiCelsius,
        /// Granted duration in seconds.
        lease_s: u16,
        /// Device time of its start.
        device_us: u64,
    },
    /// A lease ended; the boiler is on its own control.
    OwnControl {
        /// Number of the lease that ended.
        n: u32,
        /// Device time of the end.
        device_us: u64,
    },
    /// The boiler's own control begins to give heat, or to give none. It is reported during a lease too: what happens
    /// when it ends.
    OwnHeat {
        /// Why it gives no heat; None if it does.
        withheld: Option<NoHeat>,
        device_us: u64,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Rejected frames, by [`Rejection::index`].
    pub rejections: [u64; Rejection::ALL.len()],
    /// Requests ignored because they came before `Resume`.
    pub premature: u64,
    /// Pongs and answers dropped for newer ones.
    pub dropped_replies: u64,
    /// Events dropped because the caller did not take them in time.
    pub dropped_events: u64,
}

impl<S: AsRef<[Reading]> + AsMut<[Reading]>> Device<S> {
    /// A device that starts at 0 of its clock with an empty memory. `storage` is the ring.
    ///
    /// # Panics
    /// If `storage` is empty or the period is 0.
    #[must_use]
    pub fn new(config: Config, boot: Boot, storage: S) -> Self {
        Self::remembering(NonVolatile::default(), config, boot, storage)
    }

    /// A device that starts with the memory kept through the power cut. `boot` comes from that memory's
    /// [`NonVolatile::start`].
    ///
    /// # Panics
    /// If `storage` is empty or the period is 0.
    #[must_use]
    pub fn remembering(memory: NonVolatile, config: Config, boot: Boot, storage: S) -> Self {
        assert!(config.period_us > 0, "a slot has a length");
        Self { reader: FrameReader::new(), core: Core::new(memory, config, boot, storage) }
    }

    /// Samples every slot that is due, and runs the control steps between them.
    pub fn poll(&mut self, now_us: u64, board: &mut impl Board) {
        self.core.poll(now_us, board);
    }

    /// Handles bytes from the line, in any chunks. At most 256 bytes at a time, or events may be dropped.
    pub fn receive(&mut self, bytes: &[u8], now_us: u64) {
        let Self { reader, core } = self;
        reader.feed(bytes, |outcome| match outcome {
            Ok(message) => core.handle(&message, now_us),
            Err(rejection) => core.counters.rejections[rejection.index()] += 1,
        });
    }

    /// Writes the frames that may be sent now into `out`, whole frames only, at the line's rate; returns the number of
    /// bytes. Writes nothing if `out` is shorter than the longest frame.
    pub fn transmit(&mut self, now_us: u64, out: &mut [u8]) -> usize {
        self.core.transmit(now_us, out)
    }

    /// Takes the oldest event.
    pub fn take_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// The current commands.
    #[must_use]
    pub fn actuators(&self) -> &Actuators {
        self.core.control.actuators()
    }

    /// What must survive a power cut. The caller stores it before it moves the actuators.
    #[must_use]
    pub fn memory(&self) -> &NonVolatile {
        &self.core.memory.kept
    }

    #[must_use]
    pub fn boot(&self) -> Boot {
        self.core.boot
    }

    /// The slot to be sampled next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.core.ring.next()
    }

    /// The oldest slot still in the ring.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.core.ring.oldest()
    }

    /// Flow temperature of the boiler's own control; the installer's lower limit while it gives no heat.
    #[must_use]
    pub fn own_flow(&self) -> CentiCelsius {
        self.core.own_flow()
    }

    /// Flow temperature of the boiler's own control, or why it gives no heat.
    ///
    /// # Errors
    /// The reason, if it gives none.
    pub fn own_heat(&self) -> Result<CentiCelsius, NoHeat> {
        self.core.own_heat()
    }

    /// The day's outdoor temperature, which decides about the heating limit; None if unknown.
    #[must_use]
    pub fn outdoor_day(&self) -> Option<CentiCelsius> {
        self.core.season.day()
    }

    #[must_use]
    pub fn is_leased(&self) -> bool {
        self.core.leases.current().is_some()
    }

    /// The newest slot's reading; None before the first one, and if it was missed.
    #[must_use]
    pub fn newest(&self) -> Option<Reading> {
        self.core.newest
    }

    /// The status as it would be sent at `now_us`, even if the line cannot carry it.
    #[must_use]
    pub fn status(&self, now_us: u64) -> Status {
        self.core.status(now_us)
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { dropped_replies: self.core.link.dropped(), ..self.core.counters }
    }
}
