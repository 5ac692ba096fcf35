//! The widths for which charts are drawn: a drawing is not scaled, so that its text is 12 px on every screen.

use std::str::FromStr;

/// A width in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Width {
    /// A telephone with 390 px, less its margins.
    Narrow,
    Middle,
    Wide,
}

impl Width {
    pub(super) const ALL: [Self; 3] = [Self::Narrow, Self::Middle, Self::Wide];

    pub(super) fn pixels(self) -> u16 {
        match self {
            Self::Narrow => 358,
            Self::Middle => 720,
            Self::Wide => 1_120,
        }
    }

    /// The height of the last hour's chart.
    pub(super) fn hour_height(self) -> u16 {
        match self {
            Self::Narrow => 260,
            Self::Middle | Self::Wide => 300,
        }
    }

    /// Minutes between the times of the last hour's chart.
    pub(super) fn tick_minutes(self) -> i64 {
        match self {
            Self::Narrow => 15,
            Self::Middle | Self::Wide => 10,
        }
    }

    /// Hours of the chart of snapshots, and between its times.
    pub(super) fn hours(self) -> (i64, i64) {
        match self {
            Self::Narrow => (24, 6),
            Self::Middle | Self::Wide => (48, 6),
        }
    }

    /// Seconds of the last hour in `point` pixels, where the hour has `plot` pixels.
    #[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates, and an hour has 3,600 seconds")]
    pub(super) fn seconds(self, plot: f64, point: f64) -> i64 {
        ((3_600.0 * point / plot).ceil() as i64).max(1)
    }
}

impl FromStr for Width {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|width| width.pixels().to_string() == text).ok_or(())
    }
}
