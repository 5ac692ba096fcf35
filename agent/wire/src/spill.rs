//! The spill file: an agent's unacknowledged records on disk while JetStream is unavailable. Version 1.
//!
//! ```text
//! header   "TWSPILL" ‖ version 1 ‖ gateway ‖ boiler ‖ stream ‖ CRC-32C, little endian      a name = length (1) ‖ UTF-8
//! record   "rcd" ‖ length (2, little endian) ‖ message ‖ CRC-32C of length and message, little endian
//! ```
//!
//! A message is one of SAMPLES, byte for byte ([`crate::batch`]), so a record needs no layout of its own. The names
//! identify the owner of the data. Names, because a stream's creation time changes when the server restarts after a
//! power cut.
//!
//! A reader takes every valid record: a torn end is normal after a power cut, and after damage the reader scans for the
//! next mark, so that one bad sector costs one record.

use crate::CRC32C;

/// The first bytes of a file, before the version.
const MAGIC: &[u8; 7] = b"TWSPILL";
/// The version written by this program.
pub const VERSION: u8 = 1;
/// The first bytes of a record.
const MARK: &[u8; 3] = b"rcd";
/// Bytes of a record in addition to its message.
pub const RECORD_OVERHEAD: usize = MARK.len() + 2 + 4;
/// Upper bound of a header's length.
pub const HEADER_MAX: usize = MAGIC.len() + 1 + 3 * 256 + 4;

/// The owner of a file's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub gateway: &'a str,
    pub boiler: &'a str,
    /// The stream to which the messages are to be published.
    pub stream: &'a str,
}

/// Why a file cannot be read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("it is not a spill file")]
    Foreign,
    #[error("it has version {found}, this program reads version {VERSION}")]
    Version { found: u8 },
    #[error("its header is damaged")]
    Header,
}

/// One section of a file after its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A record's message.
    Message(&'a [u8]),
    /// Bytes outside any valid record.
    Damaged {
        /// Offset from the start of the file.
        at: usize,
        len: usize,
    },
}

/// The places of a file, in order.
#[derive(Clone, Debug)]
pub struct Places<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Writes a header. Returns its length.
///
/// # Panics
/// If a name has more than 255 bytes, or `out` has fewer than [`HEADER_MAX`].
pub fn encode_header(header: &Header<'_>, out: &mut [u8]) -> usize {
    let mut at = put(out, 0, MAGIC);
    at = put(out, at, &[VERSION]);
    for name in [header.gateway, header.boiler, header.stream] {
        let len = u8::try_from(name.len()).expect("names have at most 255 bytes");
        at = put(out, at, &[len]);
        at = put(out, at, name.as_bytes());
    }
    let crc = CRC32C.checksum(&out[..at]);
    put(out, at, &crc.to_le_bytes())
}

/// Writes a record. Returns its length.
///
/// # Panics
/// If the message has more than 65,535 bytes, or `out` is shorter than the message and [`RECORD_OVERHEAD`].
pub fn encode_record(message: &[u8], out: &mut [u8]) -> usize {
    let len = u16::try_from(message.len()).expect("no message of SAMPLES has more than 65,535 bytes");
    let mut at = put(out, 0, MARK);
    at = put(out, at, &len.to_le_bytes());
    at = put(out, at, message);
    let crc = CRC32C.checksum(&out[MARK.len()..at]);
    put(out, at, &crc.to_le_bytes())
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    let end = at + bytes.len();
    out[at..end].copy_from_slice(bytes);
    end
}

/// Reads a file's header and its places. Never panics.
///
/// # Errors
/// If the header is missing, damaged or of another version.
pub fn decode(bytes: &[u8]) -> Result<(Header<'_>, Places<'_>), Unreadable> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Unreadable::Foreign)?;
    let (&version, rest) = rest.split_first().ok_or(Unreadable::Header)?;
    if version != VERSION {
        return Err(Unreadable::Version { found: version });
    }
    let (gateway, rest) = name(rest)?;
    let (boiler, rest) = name(rest)?;
    let (stream, rest) = name(rest)?;
    let (crc, rest) = rest.split_first_chunk().ok_or(Unreadable::Header)?;
    let begin = bytes.len() - rest.len();
    if CRC32C.checksum(&bytes[..begin - crc.len()]) != u32::from_le_bytes(*crc) {
        return Err(Unreadable::Header);
    }
    Ok((Header { gateway, boiler, stream }, Places { bytes, at: begin }))
}

fn name(bytes: &[u8]) -> Result<(&str, &[u8]), Unreadable> {
    let (&len, rest) = bytes.split_first().ok_or(Unreadable::Header)?;
    let (name, rest) = rest.split_at_checked(usize::from(len)).ok_or(Unreadable::Header)?;
    Ok((core::str::from_utf8(name).map_err(|_| Unreadable::Header)?, rest))
}

/// The message of the valid record at the start of `bytes`.
fn record(bytes: &[u8]) -> Option<&[u8]> {
    let body = bytes.strip_prefix(MARK)?;
    let (len, rest) = body.split_first_chunk()?;
    let len = usize::from(u16::from_le_bytes(*len));
    let (message, rest) = rest.split_at_checked(len)?;
    let (crc, _) = rest.split_first_chunk()?;
    (CRC32C.checksum(&body[..2 + len]) == u32::from_le_bytes(*crc)).then_some(message)
}

impl<'a> Iterator for Places<'a> {
    type Item = Place<'a>;

    fn next(&mut self) -> Option<Place<'a>> {
        let begin = self.at;
        while self.at < self.bytes.len() {
            match record(&self.bytes[self.at..]) {
                Some(message) if self.at == begin => {
                    self.at += RECORD_OVERHEAD + message.len();
                    return Some(Place::Message(message));
                }
                Some(_) => break,
                None => self.at += 1,
            }
        }
        (self.at > begin).then_some(Place::Damaged { at: begin, len: self.at - begin })
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const HEADER: Header<'static> = Header { gateway: "cellar", boiler: "b1", stream: "SAMPLES" };

    fn file(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![0; HEADER_MAX];
        let len = encode_header(&HEADER, &mut out);
        out.truncate(len);
        for message in messages {
            let at = out.len();
            out.resize(at + message.len() + RECORD_OVERHEAD, 0);
            assert_eq!(encode_record(message, &mut out[at..]), out.len() - at);
        }
        out
    }

    fn messages(bytes: &[u8]) -> Vec<Vec<u8>> {
        let places = decode(bytes).expect("the header is valid").1;
        let message = |place| match place {
            Place::Message(message) => Some(message.to_vec()),
            Place::Damaged { .. } => None,
        };
        places.filter_map(message).collect()
    }

    fn some_messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..8)
    }

    proptest! {
        #[test]
        fn written_records_read_back(written in some_messages()) {
            let bytes = file(&written);
            prop_assert_eq!(decode(&bytes).unwrap().0, HEADER);
            prop_assert_eq!(messages(&bytes), written);
        }

        /// Wherever the file is cut off, every complete record is read.
        #[test]
        fn a_torn_end_costs_only_the_torn_record(written in some_messages(), torn in any::<prop::sample::Index>()) {
            let header = file(&[]).len();
            let bytes = file(&written);
            let upto = header + torn.index(bytes.len() - header);
            let read = messages(&bytes[..upto]);
            prop_assert_eq!(&read[..], &written[..read.len()]);
            let whole = (0..=written.len()).rev().find(|&n| file(&written[..n]).len() <= upto);
            prop_assert_eq!(Some(read.len()), whole);
        }

        /// One wrong byte costs at most one record; the reader finds the ones after it.
        #[test]
        fn one_damaged_byte_costs_at_most_one_record(
            written in some_messages(),
            place in any::<prop::sample::Index>(),
            flip in 1u8..,
        ) {
            let header = file(&[]).len();
            let mut bytes = file(&written);
            let at = header + place.index(bytes.len() - header);
            bytes[at] ^= flip;
            let length = |place| match place {
                Place::Message(message) => message.len() + RECORD_OVERHEAD,
                Place::Damaged { len, .. } => len,
            };
            let places = decode(&bytes).unwrap().1;
            prop_assert_eq!(places.map(length).sum::<usize>(), bytes.len() - header, "each byte is in one place");
            let read = messages(&bytes);
            let kept = read.iter().filter(|message| written.contains(message)).count();
            prop_assert!(kept >= written.len() - 1, "{kept} of {}", written.len());
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut after_header = file(&[]);
            after_header.extend_from_slice(&bytes);
            messages(&after_header);
            prop_assert!(decode(&bytes).is_err());
        }
    }

    #[test]
    fn longest_header_fits() {
        let name = "n".repeat(255);
        let header = Header { gateway: &name, boiler: &name, stream: &name };
        assert_eq!(encode_header(&header, &mut [0; HEADER_MAX]), HEADER_MAX);
    }

    #[test]
    fn unreadable_files_are_rejected_with_the_cause() {
        let mut newer = file(&[]);
        newer[7] = 2;
        assert_eq!(decode(&newer).unwrap_err(), Unreadable::Version { found: 2 });
        assert_eq!(decode(b"# a text").unwrap_err(), Unreadable::Foreign);
        assert_eq!(decode(&file(&[])[..12]).unwrap_err(), Unreadable::Header);
        let mut damaged = file(&[]);
        damaged[9] ^= 1;
        assert_eq!(decode(&damaged).unwrap_err(), Unreadable::Header);
    }
}
