//! What the charts are written with: paths, texts, the axis. Colours are the page's: here are only classes.

use std::fmt::Write as _;

/// A path in relative commands with one decimal.
#[derive(Debug, Default)]
pub(super) struct Path {
    data: String,
    /// Where the pen is, in tenths of a pixel; none while it is lifted.
    at: Option<(i32, i32)>,
}

impl Path {
    /// Draws a line to a point, or begins there.
    pub(super) fn to(&mut self, x: f64, y: f64) {
        let (x, y) = (tenths(x), tenths(y));
        match self.at {
            None => {
                self.data.push('M');
                number(&mut self.data, x);
                number(&mut self.data, y);
                self.data.push('l');
            }
            Some((from_x, from_y)) if (from_x, from_y) != (x, y) => {
                number(&mut self.data, x - from_x);
                number(&mut self.data, y - from_y);
            }
            Some(_) => return,
        }
        self.at = Some((x, y));
    }

    /// Lifts the pen.
    pub(super) fn lift(&mut self) {
        self.at = None;
    }

    /// Ends an area, and lifts the pen.
    pub(super) fn close(&mut self) {
        if self.at.take().is_some() {
            // A command needs a point: the only one has none.
            if self.data.ends_with('l') {
                self.data.pop();
            }
            self.data.push('z');
        }
    }

    /// Appends the path with a class; nothing if it is empty.
    pub(super) fn write(&self, svg: &mut String, class: &str) {
        if !self.data.is_empty() {
            let data = self.data.strip_suffix('l').unwrap_or(&self.data).replace("lM", "M");
            push(svg, format_args!("<path class=\"{class}\" d=\"{data}\"/>"));
        }
    }
}

/// Tenths of a pixel.
#[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates, and charts have 1,120 pixels")]
fn tenths(pixels: f64) -> i32 {
    (pixels.clamp(-1e5, 1e5) * 10.0).round() as i32
}

/// A number with one decimal at most, and a space where the last one would run into it.
fn number(data: &mut String, tenths: i32) {
    if tenths >= 0 && data.ends_with(|last: char| last.is_ascii_digit()) {
        data.push(' ');
    }
    if tenths < 0 {
        data.push('-');
    }
    let (whole, tenth) = (tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10);
    match (whole, tenth) {
        (whole, 0) => push(data, format_args!("{whole}")),
        (0, tenth) => push(data, format_args!(".{tenth}")),
        (whole, tenth) => push(data, format_args!("{whole}.{tenth}")),
    }
}

/// A length or place for an attribute.
pub(super) fn px(pixels: f64) -> String {
    let mut text = String::new();
    number(&mut text, tenths(pixels));
    text
}

/// Writing to a string does not fail.
pub(super) fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).unwrap_or_default();
}

/// The beginning of a drawing of this size, with the hatch of the unknown as `url(#{name}-hatch)`.
pub(super) fn begin(name: &str, label: &str, width: u16, height: u16) -> String {
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
         aria-label=\"{label}\"><defs><pattern id=\"{name}-hatch\" width=\"6\" height=\"6\" \
         patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><path class=\"hatch\" \
         d=\"M0 0v6\"/></pattern></defs>"
    )
}

/// A rectangle; nothing if it has no area.
pub(super) fn rect(svg: &mut String, attributes: &str, [x, y, width, height]: [f64; 4]) {
    if width > 0.0 && height > 0.0 {
        let [x, y, width, height] = [x, y, width, height].map(px);
        push(svg, format_args!("<rect {attributes} x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>"));
    }
}

/// A text of ours at a place; `anchor` is `start`, `middle` or `end`.
pub(super) fn text(svg: &mut String, class: &str, anchor: &str, x: f64, y: f64, text: &str) {
    let (x, y) = (px(x), px(y));
    push(svg, format_args!("<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x}\" y=\"{y}\">{text}</text>"));
}

/// A vertical axis in °C with round ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) least: f64,
    pub(super) most: f64,
    pub(super) step: f64,
}

impl Axis {
    /// The axis of some temperatures; 20 to 60 °C without any.
    pub(super) fn of(temperatures: impl IntoIterator<Item = f64>) -> Self {
        let ends = temperatures.into_iter().fold(None, |ends: Option<(f64, f64)>, next| match ends {
            Some((least, most)) => Some((least.min(next), most.max(next))),
            None => Some((next, next)),
        });
        let (least, most) = ends.unwrap_or((20.0, 60.0));
        let span = (most - least).max(10.0);
        let step = [5.0, 10.0, 20.0].into_iter().find(|step| span / step <= 6.0).unwrap_or(50.0);
        let (least, most) = ((least / step).floor() * step, (most / step).ceil() * step);
        // Water at a constant temperature is drawn in the middle.
        if most - least < 2.0 * step {
            return Self { least: least - step, most: most.max(least + step) + step, step };
        }
        Self { least, most, step }
    }

    /// The ticks from below.
    pub(super) fn ticks(&self) -> impl Iterator<Item = f64> {
        let Self { least, most, step } = *self;
        std::iter::successors(Some(least), move |tick| Some(tick + step)).take_while(move |tick| *tick <= most + 0.1)
    }

    /// The part of the height that is below `celsius`.
    pub(super) fn share(&self, celsius: f64) -> f64 {
        (celsius - self.least) / (self.most - self.least)
    }
}

/// About how wide a note is drawn, px: to keep notes apart.
pub(super) fn note_width(note: &str) -> f64 {
    const LETTER: f64 = 7.4;
    LETTER * f64::from(u16::try_from(note.chars().count()).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_relative_with_one_decimal() {
        let mut path = Path::default();
        for (x, y) in [(10.0, 20.0), (11.5, 19.75), (11.5, 19.75), (13.0, 20.0), (14.0, 20.0)] {
            path.to(x, y);
        }
        path.lift();
        path.to(50.0, 0.26);
        path.lift();
        path.to(60.0, 1.0);
        path.to(60.0, 5.0);
        path.close();
        path.to(70.0, 1.0);
        path.close();
        let mut svg = String::new();
        path.write(&mut svg, "flow");
        assert_eq!(svg, "<path class=\"flow\" d=\"M10 20l1.5-.2 1.5 .2 1 0M50 .3M60 1l0 4zM70 1z\"/>");
    }

    /// Rounding does not add up: each point is where it belongs.
    #[test]
    fn rounded_steps_end_at_the_rounded_point() {
        let mut path = Path::default();
        (0..=1_000).for_each(|n| path.to(f64::from(n) * 1.04, f64::from(n) * 0.333));
        assert_eq!(path.at, Some((10_400, 3_330)));
    }

    #[test]
    fn axis_has_round_ends_and_few_ticks() {
        let axis = Axis::of([35.6, 48.0]);
        assert_eq!((axis.least, axis.most, axis.step), (35.0, 50.0, 5.0));
        for (least, most) in [(20.0, 20.0), (-10.0, 150.0), (44.9, 45.1), (0.0, 60.0), (19.0, 76.0)] {
            let axis = Axis::of([least, most]);
            let ticks = axis.ticks().count();
            assert!((3..=8).contains(&ticks) && axis.least <= least && axis.most >= most, "{axis:?}");
            assert!((axis.share(axis.most) - 1.0).abs() < 1e-9);
        }
        assert_eq!(Axis::of([]), Axis { least: 20.0, most: 60.0, step: 10.0 });
    }
}
