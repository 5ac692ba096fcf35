//! The rolling hour: 3,600 panes of one second, with exact integer sums.
//!
//! A pane is half open, `[s, s + 1)`; the window ends with the newest slot's second, so it covers the seconds `newest −
//! 3,599 ..= newest`. Sums are centi-degrees in `i64`: a replay equals the live run to the last bit, where a naive
//! `f32` sum is 34 mK wrong within the hour.
//!
//! A pane takes 24 bytes, the window 86 KB. Readings are added as panes that the caller has summed ([`Pane::add`] in a
//! tight loop), so a sample costs a few nanoseconds and no allocation; the extremes are computed when the window is
//! read, once per published state, not per sample.

use alloc::boxed::Box;
use alloc::vec;

use thermowell_wire::{CentiCelsius, Reading};

use crate::time::HOUR_NS;

#[cfg(test)]
mod tests;

/// Seconds in the window.
pub const WINDOW_S: i64 = 3_600;
/// Seconds after a hot-water draw until the flow temperature is that of the heating circuit again.
pub const DRAW_S: i64 = 120;

const PANES: usize = 3_600;

/// The part of an hour that `points` readings cover, `period_ns` apart: five decimals, half away from zero, at most 1.
#[must_use]
pub fn coverage(points: u64, period_ns: u32) -> f64 {
    const DECIMALS: u128 = 100_000;
    let hour_ns = u128::from(HOUR_NS.unsigned_abs());
    let part = u128::from(points) * u128::from(period_ns) * DECIMALS;
    let rounded = ((part + hour_ns / 2) / hour_ns).min(DECIMALS);
    f64::from(u32::try_from(rounded).expect("at most 100,000")) / 100_000.0
}

/// The readings of one second, or of a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pane {
    /// Sum of the valid readings, centi-degrees.
    pub sum: i64,
    /// How many readings are valid.
    pub points: u32,
    /// How many readings are not.
    pub invalid: u32,
    /// The smallest valid reading; `i16::MAX` without one.
    pub minimum: i16,
    /// The largest valid reading; `i16::MIN` without one.
    pub maximum: i16,
    /// Marks that all readings have.
    all: u8,
    /// Marks that any reading has.
    any: u8,
    heating: bool,
}

impl Pane {
    /// No readings.
    pub const EMPTY: Self = Self {
        sum: 0,
        points: 0,
        invalid: 0,
        minimum: i16::MAX,
        maximum: i16::MIN,
        all: u8::MAX,
        any: 0,
        heating: false,
    };

    /// Adds one reading.
    pub fn add(&mut self, reading: Reading) {
        self.all &= reading.marks;
        self.any |= reading.marks;
        if reading.is_valid() {
            let CentiCelsius(centi) = reading.temperature;
            self.sum += i64::from(centi);
            self.points += 1;
            self.minimum = self.minimum.min(centi);
            self.maximum = self.maximum.max(centi);
        } else {
            self.invalid += 1;
        }
    }

    /// Adds the readings of another part of the same second.
    pub fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.points += other.points;
        self.invalid += other.invalid;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
        self.all &= other.all;
        self.any |= other.any;
    }

    /// Whether hot water was drawn in this second.
    #[must_use]
    pub fn has_draw(&self) -> bool {
        self.any & Reading::HOT_WATER != 0
    }

    /// Whether the burner burned in this second.
    #[must_use]
    pub fn has_flame(&self) -> bool {
        self.any & Reading::FLAME != 0
    }

    /// Whether this is a heating second: every reading is valid, the pump ran all the time, no hot water was drawn, and
    /// the last draw ended at least [`DRAW_S`] before it began.
    #[must_use]
    pub fn is_heating(&self, second: i64, last_draw: Option<i64>) -> bool {
        let rested = last_draw.is_none_or(|draw| second - (draw + 1) >= DRAW_S);
        self.points > 0 && self.invalid == 0 && self.all & Reading::PUMP != 0 && !self.has_draw() && rested
    }
}

/// The last hour.
#[derive(Debug)]
pub struct Window {
    panes: Box<[Pane]>,
    newest: Option<i64>,
    last_draw: Option<i64>,
    valid: Sum,
    /// Over the heating seconds before the newest one, which is evaluated on each read.
    heating: Sum,
    heating_seconds: u64,
}

/// A sum of readings and their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub centi: i64,
    pub points: u64,
}

impl Sum {
    pub(crate) fn add(&mut self, pane: &Pane) {
        self.centi += pane.sum;
        self.points += u64::from(pane.points);
    }

    fn subtract(&mut self, pane: &Pane) {
        self.centi -= pane.sum;
        self.points -= u64::from(pane.points);
    }
}

/// The aggregates of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Over all valid readings.
    pub valid: Sum,
    /// Over the valid readings of heating seconds.
    pub heating: Sum,
    /// Number of heating seconds.
    pub heating_seconds: u64,
    /// Whether the newest second is a heating second.
    pub is_heating: bool,
    /// The smallest valid reading.
    pub minimum: Option<i16>,
    /// The largest valid reading.
    pub maximum: Option<i16>,
}

impl Default for Window {
    fn default() -> Self {
        Self::new()
    }
}

impl Window {
    /// An empty window.
    #[must_use]
    pub fn new() -> Self {
        Self {
            panes: vec![Pane::EMPTY; PANES].into_boxed_slice(),
            newest: None,
            last_draw: None,
            valid: Sum::default(),
            heating: Sum::default(),
            heating_seconds: 0,
        }
    }

    /// The last second of the window.
    #[must_use]
    pub fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// The readings of `second`; none if it is outside the window.
    #[must_use]
    pub fn pane(&self, second: i64) -> Option<&Pane> {
        let newest = self.newest?;
        (newest - WINDOW_S < second && second <= newest).then(|| &self.panes[place(second)])
    }

    /// The valid readings in the window, in constant time.
    #[must_use]
    pub fn valid(&self) -> Sum {
        self.valid
    }

    /// Removes all readings, when they belong to another time axis.
    pub fn clear(&mut self) {
        self.panes.fill(Pane::EMPTY);
        self.newest = None;
        self.last_draw = None;
        self.valid = Sum::default();
        self.heating = Sum::default();
        self.heating_seconds = 0;
    }

    /// Adds readings of `second`, normally the newest or a later one. If time went back, the window is cleared first.
    pub fn add(&mut self, second: i64, pane: &Pane) {
        self.advance(second);
        self.panes[place(second)].merge(pane);
        self.valid.add(pane);
    }

    /// Moves the end of the window to `second`, with or without readings.
    pub fn advance(&mut self, second: i64) {
        match self.newest {
            Some(newest) if second == newest => return,
            Some(newest) if second < newest => self.clear(),
            Some(newest) => {
                self.close(newest);
                let passed = usize::try_from(second.saturating_sub(newest)).unwrap_or(usize::MAX);
                if passed >= PANES {
                    let last_draw = self.last_draw;
                    self.clear();
                    self.last_draw = last_draw;
                } else {
                    (newest + 1..=second).for_each(|left| self.evict(left));
                }
            }
            None => {}
        }
        self.newest = Some(second);
    }

    /// Computes the aggregates.
    #[must_use]
    pub fn view(&self) -> View {
        let Some(newest) = self.newest else { return View::default() };
        let current = &self.panes[place(newest)];
        let mut view = View {
            valid: self.valid,
            heating: self.heating,
            heating_seconds: self.heating_seconds,
            is_heating: current.is_heating(newest, self.last_draw),
            minimum: None,
            maximum: None,
        };
        if view.is_heating {
            view.heating.add(current);
            view.heating_seconds += 1;
        }
        if view.valid.points > 0 {
            view.minimum = self.panes.iter().map(|pane| pane.minimum).min();
            view.maximum = self.panes.iter().map(|pane| pane.maximum).max();
        }
        view
    }

    /// Ends the newest second and decides whether it is a heating second.
    fn close(&mut self, second: i64) {
        let pane = &mut self.panes[place(second)];
        pane.heating = pane.is_heating(second, self.last_draw);
        if pane.heating {
            self.heating.add(pane);
            self.heating_seconds += 1;
        }
        if pane.has_draw() {
            self.last_draw = Some(second);
        }
    }

    /// Makes room for `second`: removes the second that has left the window.
    fn evict(&mut self, second: i64) {
        let pane = core::mem::replace(&mut self.panes[place(second)], Pane::EMPTY);
        self.valid.subtract(&pane);
        if pane.heating {
            self.heating.subtract(&pane);
            self.heating_seconds -= 1;
        }
    }
}

fn place(second: i64) -> usize {
    usize::try_from(second.rem_euclid(WINDOW_S)).expect("a remainder of 3,600 is at least 0")
}
