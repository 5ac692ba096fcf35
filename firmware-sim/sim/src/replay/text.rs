//! Decodes the bytes of a file as text.
//!
//! A byte-order mark names UTF-8 or UTF-16. Without one, each cell is UTF-8 if it is valid, else ISO-8859-1, in which
//! every byte is a character: so a damaged line does not affect others. A file that is not text is refused.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Largest file: hours of a fast recorder, and what a small machine can hold.
pub(super) const BYTES_MAX: u64 = 512 << 20;
/// Bytes examined to see whether a file is text.
const HEAD_BYTES: usize = 64 << 10;
/// One in so many bytes may be a control character; in compressed data one in ten is.
const CONTROL_SHARE: usize = 50;

/// A decoded text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Text<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// Number of NULs removed, and the line of the first one, from 1.
    pub(super) nuls: Option<(usize, u64)>,
}

/// Reads a file or a pipe.
pub(super) fn load(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// Decodes a file; the error names what it is instead of text.
pub(super) fn decode(bytes: &[u8]) -> Result<Text<'_>, &'static str> {
    let utf16 = |unit: fn([u8; 2]) -> u16| {
        let units = bytes[2..].chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        let text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        Cow::Owned(text.into_bytes())
    };
    let text = match bytes {
        [0xff, 0xfe, ..] => utf16(u16::from_le_bytes),
        [0xfe, 0xff, ..] => utf16(u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => Cow::Borrowed(rest),
        _ if is_wide(bytes) => return Err("UTF-16 without a byte-order mark"),
        _ => Cow::Borrowed(bytes),
    };
    if is_binary(&text) {
        return Err("not text");
    }
    let Some(first) = text.iter().position(|byte| *byte == 0) else { return Ok(Text { bytes: text, nuls: None }) };
    let line = text[..first].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
    let nuls = text.iter().filter(|byte| **byte == 0).count();
    Ok(Text { nuls: Some((nuls, line)), bytes: Cow::Owned(without_nuls(&text)) })
}

/// Removes NULs. A block at the start of a line leaves no trace; within a line it leaves a mark, because the text
/// before it may be half of a number.
fn without_nuls(text: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = "\u{fffd}".as_bytes();
    let mut kept = Vec::with_capacity(text.len());
    for byte in text {
        if *byte != 0 {
            kept.push(*byte);
        } else if kept.last().is_some_and(|last| *last != b'\n') && !kept.ends_with(MARK) {
            kept.extend(MARK);
        }
    }
    kept
}

/// A line or a part of one as text.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// A trimmed cell as text.
pub(super) fn cell(bytes: &[u8]) -> Cow<'_, str> {
    match text(bytes) {
        Cow::Borrowed(text) => Cow::Borrowed(bare(text)),
        Cow::Owned(text) => Cow::Owned(bare(&text).to_owned()),
    }
}

/// Trims blanks, quotes that a blank before them hid from the CSV reader, and a DOS end-of-file mark.
fn bare(text: &str) -> &str {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{1a}');
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// Detects UTF-16 of western text: every other byte is a NUL, whereas a block of NULs has as many in both places.
fn is_wide(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    let nuls = |odd: usize| head.iter().skip(odd).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (nuls(0), nuls(1));
    even.max(odd) > head.len() / 4 && even.min(odd) <= head.len() / 40
}

fn is_binary(text: &[u8]) -> bool {
    let head = &text[..text.len().min(HEAD_BYTES)];
    let control = |byte: &u8| *byte < b' ' && !matches!(byte, 0 | b'\t' | b'\n' | b'\r' | 0x0c | 0x1a);
    head.iter().filter(|byte| control(byte)).count() * CONTROL_SHARE > head.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(bytes: &[u8]) -> String {
        cell(&decode(bytes).unwrap().bytes).into_owned()
    }

    #[test]
    fn encodings_are_decoded() {
        let wide = |mark: [u8; 2], unit: fn(u16) -> [u8; 2]| {
            let units = "Wärme [°C]".encode_utf16().flat_map(unit);
            mark.into_iter().chain(units).collect::<Vec<u8>>()
        };
        assert_eq!(plain("\u{feff}Wärme [°C]".as_bytes()), "Wärme [°C]");
        assert_eq!(plain(b"W\xe4rme [\xb0C]"), "Wärme [°C]");
        assert_eq!(plain(&wide([0xff, 0xfe], u16::to_le_bytes)), "Wärme [°C]");
        assert_eq!(plain(&wide([0xfe, 0xff], u16::to_be_bytes)), "Wärme [°C]");
        assert_eq!(decode(&wide([b'a', 0], u16::to_le_bytes)), Err("UTF-16 without a byte-order mark"));
    }

    #[test]
    fn nuls_are_removed_and_counted() {
        let text = decode(b"a\nb\n\0\0\0\0\0\0c\n").unwrap();
        assert_eq!((&*text.bytes, text.nuls), (&b"a\nb\nc\n"[..], Some((6, 3))));
        let text = decode(b"a,4\0\0\0\0\0\0\nb,5\n").unwrap();
        assert_eq!(&*text.bytes, "a,4\u{fffd}\nb,5\n".as_bytes());
    }

    #[test]
    fn binary_files_are_refused() {
        assert_eq!(decode(b"\x1f\x8b\x08\x08\x01\x02ab"), Err("not text"));
        assert_eq!(decode(b"a,b\n1,2\n\x1a").unwrap().nuls, None);
        assert_eq!(decode(b"").unwrap(), Text::default());
    }
}
