//! Cases as text, and the input that is being judged as a file.
//!
//! A case is a line in `fuzz-corpus/{target}.txt`: its bytes as escaped ASCII, so that JSON and TOML can be read there
//! and binary layouts survive. What begins with `# ` is a comment.
//!
//! The input of the moment lies in a file while it is judged: its number, its length, its bytes. So a worker that
//! panics, is killed for its memory or never comes back leaves behind what it choked on.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// The bytes of a case as one line.
pub(super) fn case_line(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    // A comment is known by its first byte, and editors take away what nobody sees at the end of a line.
    let text = if text.starts_with('#') { text.replacen('#', "\\x23", 1) } else { text };
    text.strip_suffix(' ').map_or(text.clone(), |text| format!("{text}\\x20"))
}

/// The cases of a text, or the line that is none.
pub(super) fn cases(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let is_case = |line: &&str| !line.is_empty() && !line.starts_with('#');
    text.lines().filter(is_case).map(|line| unescape(line).ok_or_else(|| line.to_owned())).collect()
}

fn unescape(line: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        let plain = match byte {
            b'\\' => match rest.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'x' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
                quoted @ (b'\\' | b'\'' | b'"') => quoted,
                _ => return None,
            },
            byte if byte.is_ascii() => byte,
            _ => return None,
        };
        bytes.push(plain);
    }
    Some(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The file with the input of the moment.
#[derive(Debug)]
pub(super) struct Moment(File);

/// Number and length, both little endian.
const HEAD: usize = 16;

impl Moment {
    pub(super) fn new(file: File) -> Self {
        Self(file)
    }

    /// Notes the input before it is judged. One write: half of it is never seen.
    pub(super) fn note(&self, number: u64, input: &[u8], scratch: &mut Vec<u8>) -> io::Result<()> {
        let len = u64::try_from(input.len()).expect("lengths fit into 64 bits");
        scratch.clear();
        scratch.extend_from_slice(&number.to_le_bytes());
        scratch.extend_from_slice(&len.to_le_bytes());
        scratch.extend_from_slice(input);
        self.0.write_all_at(scratch, 0)
    }

    /// The number of the input of the moment: 0 before the first.
    pub(super) fn number(&self) -> io::Result<u64> {
        Ok(self.head()?.0)
    }

    /// The input of the moment with its number; none before the first.
    pub(super) fn input(&self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let (number, len) = self.head()?;
        if number == 0 {
            return Ok(None);
        }
        let mut input = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        self.0.read_exact_at(&mut input, u64::try_from(HEAD).expect("16"))?;
        Ok(Some((number, input)))
    }

    fn head(&self) -> io::Result<(u64, u64)> {
        let mut head = [0; HEAD];
        match self.0.read_exact_at(&mut head, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok((0, 0)),
            read => read?,
        }
        let (number, len) = head.split_at(HEAD / 2);
        let number_of = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        Ok((number_of(number), number_of(len)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_case_reads_back(bytes in prop::collection::vec(any::<u8>(), 1..60)) {
            let line = case_line(&bytes);
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(cases(&format!("# why\n{line}\n\n")).unwrap(), [bytes]);
        }
    }

    #[test]
    fn a_case_that_cannot_be_read_is_named() {
        for wrong in ["\\x4", "\\xgg", "\\q", "ä", "\\"] {
            assert_eq!(cases(wrong).unwrap_err(), wrong);
        }
        assert_eq!(cases("\\x23a").unwrap(), [b"#a"]);
        assert_eq!(case_line(b"#a#"), "\\x23a#");
    }

    #[test]
    fn the_input_of_the_moment_is_found() {
        let moment = Moment::new(tempfile::tempfile().unwrap());
        assert_eq!((moment.number().unwrap(), moment.input().unwrap()), (0, None));
        let mut scratch = Vec::new();
        moment.note(1, b"a long one", &mut scratch).unwrap();
        moment.note(2, b"short", &mut scratch).unwrap();
        assert_eq!((moment.number().unwrap(), moment.input().unwrap()), (2, Some((2, b"short".to_vec()))));
    }
}
