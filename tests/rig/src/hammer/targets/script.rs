//! Inputs that are a story: what a role is told, one thing after the other.
//!
//! ```text
//! line = kind (1) ‖ length (2, little endian) ‖ bytes
//! ```
//!
//! Decoding alone is not the end: what is accepted is acted upon, and must not bring the role down either.

use crate::hammer::judge::Parts;

/// One thing that a role is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// What it is, to the target.
    pub(super) kind: u8,
    /// Its bytes.
    pub(super) bytes: &'a [u8],
}

impl Line<'_> {
    /// The first eight bytes as a number; fewer count as zeros.
    pub(super) fn number(&self) -> u64 {
        let mut number = [0; 8];
        let len = self.bytes.len().min(number.len());
        number[..len].copy_from_slice(&self.bytes[..len]);
        u64::from_le_bytes(number)
    }

    /// What stands behind the number.
    pub(super) fn behind_number(&self) -> &[u8] {
        self.bytes.get(8..).unwrap_or_default()
    }
}

/// The lines of a story, up to the first that is cut off.
pub(super) fn lines(mut story: &[u8]) -> impl Iterator<Item = Line<'_>> {
    std::iter::from_fn(move || {
        let ([kind, low, high], rest) = story.split_first_chunk()?;
        let (bytes, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))?;
        story = rest;
        Some(Line { kind: *kind, bytes })
    })
}

/// A story of these lines.
pub(super) fn story(lines: &[(u8, Vec<u8>)]) -> Vec<u8> {
    close(&lines.iter().map(|(kind, bytes)| [&[*kind], bytes.as_slice()].concat()).collect::<Vec<_>>())
}

/// A line is a part: its kind, then its bytes.
pub(super) const PARTS: Parts = Parts { open, close };

fn open(story: &[u8]) -> Vec<Vec<u8>> {
    lines(story).map(|line| [&[line.kind], line.bytes].concat()).collect()
}

fn close(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut story = Vec::new();
    for part in parts {
        if let Some((kind, bytes)) = part.split_first()
            && let Ok(len) = u16::try_from(bytes.len())
        {
            story.push(*kind);
            story.extend_from_slice(&len.to_le_bytes());
            story.extend_from_slice(bytes);
        }
    }
    story
}
