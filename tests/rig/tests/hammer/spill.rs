//! The spill file after any damage to the disk: as bytes, and on a real disk,
//! where it is read, repaired or put aside, and read again.

use std::fs;

use thermowell::spool::SpillFile;
use thermowell_wire::CRC32C;
use thermowell_wire::batch;
use thermowell_wire::line::GapReason;
use thermowell_wire::spill::{
    HEADER_MAX, Header, Place, RECORD_OVERHEAD, Unreadable, VERSION, decode, encode_header, encode_record,
};

use super::inputs::{Grammar, Part};
use super::packed;
use super::run::Target;

pub(crate) const FILE: Target = Target { grammar, judge, cases: &[] };
pub(crate) const DISK: Target = Target { grammar, judge: judge_on_disk, cases: &[] };

fn judge(input: &[u8]) -> bool {
    let (header, places) = match decode(input) {
        Ok(file) => file,
        Err(unreadable) => {
            assert_ne!(unreadable, Unreadable::Version { found: VERSION }, "this version is read");
            return false;
        }
    };
    let mut again = head(&header);
    let mut at = again.len();
    let mut damaged_before = false;
    let mut messages: Vec<&[u8]> = Vec::new();
    for place in places {
        match place {
            Place::Message(message) => {
                assert_eq!(input[at + 5..].get(..message.len()), Some(message), "a message stands in its record");
                at += message.len() + RECORD_OVERHEAD;
                append(&mut again, message);
                messages.push(message);
                damaged_before = false;
            }
            Place::Damaged { at: from, len } => {
                assert_eq!(from, at, "places follow each other");
                assert!(len > 0 && !damaged_before, "a damaged place is one place");
                assert!(!(from..from + len).any(|at| is_record(&input[at..])), "a good record in a damaged place");
                at += len;
                damaged_before = true;
            }
        }
    }
    assert_eq!(at, input.len(), "the places are the file");
    let (same_header, places) = decode(&again).expect("what is encoded is decoded");
    assert_eq!(same_header, header, "decode(encode(x)) is x");
    assert!(places.eq(messages.into_iter().map(Place::Message)), "decode(encode(x)) is x");
    true
}

fn judge_on_disk(input: &[u8]) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let mut file = SpillFile::new(folder.path(), "cellar", &"b1".parse().expect("an id"));
    fs::write(file.path(), input).expect("a file can be written");
    let found = file.load().expect("a file is read or put aside");
    if let Some((aside, _)) = &found.aside {
        assert_eq!(fs::read(aside).expect("it can be read"), input, "what is put aside is not changed");
    }
    let is_good = |message: &[u8]| batch::decode(message).is_ok();
    assert!(found.messages.iter().all(|message| is_good(message)), "what is handed over can be read");

    let again = file.load().expect("a repaired file is read");
    assert!(again.aside.is_none() && again.torn == 0, "a file is repaired once");
    assert_eq!(again.messages, found.messages, "a repaired file holds what was handed over");
    let Ok((header, places)) = decode(input) else { return false };
    let ours = (header.gateway, header.boiler, header.stream) == ("cellar", "b1", "SAMPLES");
    let good = places.filter_map(|place| match place {
        Place::Message(message) if ours && is_good(message) => Some(message.to_vec()),
        Place::Message(_) | Place::Damaged { .. } => None,
    });
    assert_eq!(found.messages, good.collect::<Vec<_>>(), "each good record is handed over, and no other agent's");
    true
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
fn close(parts: &[Vec<u8>]) -> Vec<u8> {
    let Some((head, messages)) = parts.split_first() else { return Vec::new() };
    let mut file = head.clone();
    file.extend_from_slice(&CRC32C.checksum(head).to_le_bytes());
    for message in messages.iter().filter(|message| u16::try_from(message.len()).is_ok()) {
        append(&mut file, message);
    }
    file
}

fn grammar() -> Grammar {
    let header = |gateway, boiler| {
        let head = head(&Header { gateway, boiler, stream: "SAMPLES" });
        head[..head.len() - size_of::<u32>()].to_vec()
    };
    let gap = packed::gap(&packed::HEADER, 12_400, GapReason::Ring).expect("it is in range");
    let batch = packed::batch(&packed::later(100, 0), &packed::readings(100)).expect("it is in range");
    let odd = [header("a-gateway-with-a-long.name", "boiler_house-2"), Part::new(), b"no message of SAMPLES".to_vec()];
    let seeds = vec![vec![header("cellar", "b1"), gap, batch.clone(), batch], vec![header("", "")], odd.to_vec()];
    let words = "TWSPILL|rcd|rcd\x7f\x7f|rcd\0\0|TWSPILL\x02|SAMPLES";
    Grammar::new(seeds, close).with_parts(packed::message()).with_words(words)
}
