//! The spill file: what an agent finds on its disk after whatever happened to the disk.

use thermowell_wire::CRC32C;
use thermowell_wire::batch;
use thermowell_wire::line::GapReason;
use thermowell_wire::spill::{
    HEADER_MAX, Header, Place, RECORD_OVERHEAD, Unreadable, VERSION, decode, encode_header, encode_record,
};

use super::packed;
use crate::hammer::judge::{Complaint, Parts, Target, Trace, done, must, same};

pub(super) const TARGET: Target = Target {
    name: "spill",
    what: "spill files",
    longest: 16_384,
    seeds,
    words: &[b"TWSPILL", b"rcd", b"rcd\xff\xff", b"rcd\0\0", b"TWSPILL\x02", b"SAMPLES"],
    parts: Some(Parts { open, close }),
    judge,
    cases: include_str!("../../../fuzz-corpus/spill.txt"),
};

fn judge(input: &[u8]) -> Result<Trace, Complaint> {
    let mut trace = Trace::of(input.len());
    let (header, places) = match decode(input) {
        Ok(file) => file,
        Err(unreadable) => {
            trace.note_shape(&unreadable);
            if let Unreadable::Version { found } = unreadable {
                must(found != VERSION, "only another version is refused for its version")?;
            }
            return Ok(trace);
        }
    };
    trace.accept();
    let mut again = head(&header);
    let mut at = again.len();
    let mut damaged_before = false;
    let mut messages: Vec<&[u8]> = Vec::new();
    for place in places {
        match place {
            Place::Message(message) => {
                trace.note_shape(&batch::decode(message).map(|_| ()));
                must(at + message.len() + RECORD_OVERHEAD <= input.len(), "a record lies in its file")?;
                let stands = &input[at + 5..][..message.len()];
                same("a message stands where its record is", &message, &stands)?;
                at += message.len() + RECORD_OVERHEAD;
                append(&mut again, message);
                messages.push(message);
                damaged_before = false;
            }
            Place::Damaged { at: from, len } => {
                trace.note_size(u64::try_from(len).expect("lengths fit into 64 bits"));
                same("places lie side by side", &from, &at)?;
                must(len > 0 && !damaged_before, "a damaged place is one place")?;
                must(!(from..from + len).any(|at| is_record(&input[at..])), "no good record lies in a damaged place")?;
                at += len;
                damaged_before = true;
            }
        }
    }
    same("the places are the file", &at, &input.len())?;
    let (same_header, places) = done("what is encoded is decoded", decode(&again))?;
    same("decode(encode(x)) is x", &same_header, &header)?;
    let expected: Vec<Place<'_>> = messages.into_iter().map(Place::Message).collect();
    same("decode(encode(x)) is x", &places.collect(), &expected)?;
    Ok(trace)
}

/// Whether a good record begins here, from the layout.
fn is_record(bytes: &[u8]) -> bool {
    let [b'r', b'c', b'd', low, high, rest @ ..] = bytes else { return false };
    let len = usize::from(u16::from_le_bytes([*low, *high]));
    let crc = rest.get(len..).and_then(|behind| behind.first_chunk()).map(|crc| u32::from_le_bytes(*crc));
    crc.is_some_and(|crc| crc == CRC32C.checksum(&bytes[3..5 + len]))
}

fn head(header: &Header<'_>) -> Vec<u8> {
    let mut head = vec![0; HEADER_MAX];
    let len = encode_header(header, &mut head);
    head.truncate(len);
    head
}

fn append(file: &mut Vec<u8>, message: &[u8]) {
    let at = file.len();
    file.resize(at + message.len() + RECORD_OVERHEAD, 0);
    encode_record(message, &mut file[at..]);
}

/// The header without its checksum, then each message.
fn open(input: &[u8]) -> Vec<Vec<u8>> {
    let Ok((header, places)) = decode(input) else { return vec![input.to_vec()] };
    let head = head(&header);
    let mut parts = vec![head[..head.len() - size_of::<u32>()].to_vec()];
    parts.extend(places.filter_map(|place| match place {
        Place::Message(message) => Some(message.to_vec()),
        Place::Damaged { .. } => None,
    }));
    parts
}

fn close(parts: &[Vec<u8>]) -> Vec<u8> {
    let Some((head, messages)) = parts.split_first() else { return Vec::new() };
    let mut file = head.clone();
    file.extend_from_slice(&CRC32C.checksum(head).to_le_bytes());
    for message in messages.iter().filter(|message| u16::try_from(message.len()).is_ok()) {
        append(&mut file, message);
    }
    file
}

fn seeds() -> Vec<Vec<u8>> {
    let names = [("cellar", "b1"), ("", ""), ("a-gateway-with-a-long.name", "boiler_house-2")];
    let files = names.map(|(gateway, boiler)| head(&Header { gateway, boiler, stream: "SAMPLES" }));
    let [mut file, empty, mut odd] = files;
    append(&mut file, &packed::gap(GapReason::Ring, 0, 12_300));
    for _ in 0..3 {
        append(&mut file, &packed::batch(&packed::readings(100)));
    }
    append(&mut odd, b"");
    append(&mut odd, b"no message of SAMPLES");
    vec![file, empty, odd]
}
