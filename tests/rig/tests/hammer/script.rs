//! Scripts: the inputs of a role, line by line.
//!
//! ```text
//! line = kind (1) ‖ length (2, little endian) ‖ bytes
//! ```
//!
//! Decoding is only the beginning: a role acts on what was decoded, and must survive that too.

use super::inputs::Part;

/// One input of a role.
pub(crate) struct Line<'a> {
    /// The kind of input; its meaning depends on the target.
    pub(crate) kind: u8,
    pub(crate) bytes: &'a [u8],
}

impl Line<'_> {
    /// The first eight bytes as a number; absent ones count as zeros.
    pub(crate) fn number(&self) -> u64 {
        let mut number = [0; 8];
        let len = self.bytes.len().min(number.len());
        number[..len].copy_from_slice(&self.bytes[..len]);
        u64::from_le_bytes(number)
    }

    /// The bytes after the number.
    pub(crate) fn after_number(&self) -> &[u8] {
        self.bytes.get(8..).unwrap_or_default()
    }
}

/// The lines of a script, up to the first incomplete one.
pub(crate) fn lines(mut script: &[u8]) -> impl Iterator<Item = Line<'_>> {
    std::iter::from_fn(move || {
        let ([kind, low, high], rest) = script.split_first_chunk()?;
        let (bytes, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))?;
        script = rest;
        Some(Line { kind: *kind, bytes })
    })
}

/// A line as a part: its kind, then its bytes.
pub(crate) fn line(kind: u8, bytes: impl AsRef<[u8]>) -> Part {
    [&[kind], bytes.as_ref()].concat()
}

/// A line with a number.
pub(crate) fn number(kind: u8, number: u64) -> Part {
    line(kind, number.to_le_bytes())
}

pub(crate) fn close(parts: &[Part]) -> Vec<u8> {
    let mut script = Vec::new();
    for part in parts {
        if let Some((kind, bytes)) = part.split_first()
            && let Ok(len) = u16::try_from(bytes.len())
        {
            script.push(*kind);
            script.extend_from_slice(&len.to_le_bytes());
            script.extend_from_slice(bytes);
        }
    }
    script
}
