//! Frames: COBS of a postcard message and its CRC-32C, terminated by a zero byte.

use postcard::ser_flavors::crc::CrcModifier;
use postcard::ser_flavors::{Cobs, Slice};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ToDevice, ToGateway};
use crate::CRC32C;

/// The longest frame in bytes, including the terminating zero: one COBS block, so that the overhead is two bytes.
pub const FRAME_MAX: usize = 256;

/// Bytes of the checksum after the message.
const CRC_LEN: usize = 4;

/// A message of the line: one direction or the other.
pub trait Message: Serialize + DeserializeOwned + sealed::Sealed {
    /// Checks the constraints that the types do not express; `false` makes the frame malformed.
    fn is_well_formed(&self) -> bool;
}

impl Message for ToGateway {
    fn is_well_formed(&self) -> bool {
        match self {
            Self::Samples(samples) => {
                !samples.readings.is_empty() && samples.seq.checked_add(super::READINGS_MAX as u64).is_some()
            }
            Self::Gap(gap) => gap.from < gap.to,
            Self::Hello(hello) => hello.period_us > 0 && hello.oldest <= hello.next,
            Self::Status(_) | Self::Answer(_) | Self::Pong(_) => true,
        }
    }
}

impl Message for ToDevice {
    fn is_well_formed(&self) -> bool {
        true
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::ToGateway {}
    impl Sealed for super::ToDevice {}
}

/// The message does not fit into a frame or into the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message does not fit into a frame of {FRAME_MAX} bytes")]
pub struct EncodeError;

/// Writes `message` as one frame into `out`, in one pass, and returns the frame with its terminating zero.
///
/// # Errors
/// If the frame is longer than `out` or than [`FRAME_MAX`]. No message of this version exceeds `FRAME_MAX`.
pub fn encode<'a, M: Message>(message: &M, out: &'a mut [u8]) -> Result<&'a mut [u8], EncodeError> {
    let cobs = Cobs::try_new(Slice::new(out)).map_err(|_| EncodeError)?;
    let flavor = CrcModifier::new(cobs, CRC32C.digest());
    let frame = postcard::serialize_with_flavor(message, flavor).map_err(|_| EncodeError)?;
    if frame.len() <= FRAME_MAX { Ok(frame) } else { Err(EncodeError) }
}

/// Why a frame was rejected. An operating condition: it is counted, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// No zero byte within [`FRAME_MAX`]; everything up to the next zero was dropped.
    #[error("longer than a frame")]
    Oversized,
    /// The COBS code points outside the frame.
    #[error("invalid COBS encoding")]
    Cobs,
    /// Too short to hold a message and a checksum.
    #[error("too short")]
    Short,
    /// The checksum does not match.
    #[error("checksum mismatch")]
    Checksum,
    /// The checksum matches, but the body is not a message of this version.
    #[error("unknown or malformed message")]
    Malformed,
    /// A message with trailing bytes.
    #[error("trailing bytes")]
    Trailing,
}

impl Rejection {
    /// Every cause, in the order of [`Rejection::index`].
    pub const ALL: [Self; 6] =
        [Self::Oversized, Self::Cobs, Self::Short, Self::Checksum, Self::Malformed, Self::Trailing];

    /// The place of this cause in [`Rejection::ALL`], for an array of counters.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Oversized => 0,
            Self::Cobs => 1,
            Self::Short => 2,
            Self::Checksum => 3,
            Self::Malformed => 4,
            Self::Trailing => 5,
        }
    }
}

/// Splits a byte stream into frames and decodes them.
#[derive(Clone, Debug)]
pub struct FrameReader {
    buffer: [u8; FRAME_MAX],
    len: usize,
    overflowed: bool,
}

impl Default for FrameReader {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameReader {
    /// A reader at the start of a frame.
    #[must_use]
    pub const fn new() -> Self {
        Self { buffer: [0; FRAME_MAX], len: 0, overflowed: false }
    }

    /// Drops a partial frame; for use after the port was reopened.
    pub fn reset(&mut self) {
        self.len = 0;
        self.overflowed = false;
    }

    /// Takes any chunk of the stream and calls `each` for every frame that ends in it.
    pub fn feed<M: Message>(&mut self, chunk: &[u8], mut each: impl FnMut(Result<M, Rejection>)) {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|&byte| byte == 0) {
            self.append(&rest[..end]);
            rest = &rest[end + 1..];
            if let Some(outcome) = self.finish() {
                each(outcome);
            }
        }
        self.append(rest);
    }

    fn append(&mut self, bytes: &[u8]) {
        // The terminating zero counts towards FRAME_MAX and is not stored.
        let room = FRAME_MAX - 1 - self.len;
        if bytes.len() > room {
            self.overflowed = true;
            self.len = 0;
        } else if !self.overflowed {
            self.buffer[self.len..self.len + bytes.len()].copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    /// Ends the frame at a zero byte. Empty frames are an idle line.
    fn finish<M: Message>(&mut self) -> Option<Result<M, Rejection>> {
        let len = core::mem::take(&mut self.len);
        if core::mem::take(&mut self.overflowed) {
            return Some(Err(Rejection::Oversized));
        }
        if len == 0 {
            return None;
        }
        Some(decode(&mut self.buffer[..len]))
    }
}

/// Decodes one frame without its terminating zero, in place.
///
/// The checksum is verified before the message is parsed: postcard's own CRC flavor parses first.
fn decode<M: Message>(frame: &mut [u8]) -> Result<M, Rejection> {
    let len = cobs::decode_in_place(frame).map_err(|_| Rejection::Cobs)?;
    let decoded = frame.get(..len).ok_or(Rejection::Cobs)?;
    if len <= CRC_LEN {
        return Err(Rejection::Short);
    }
    let (body, checksum) = decoded.split_at(len - CRC_LEN);
    if CRC32C.checksum(body).to_le_bytes() != checksum {
        return Err(Rejection::Checksum);
    }
    let (message, rest) = postcard::take_from_bytes::<M>(body).map_err(|_| Rejection::Malformed)?;
    if !rest.is_empty() {
        return Err(Rejection::Trailing);
    }
    if message.is_well_formed() { Ok(message) } else { Err(Rejection::Malformed) }
}
