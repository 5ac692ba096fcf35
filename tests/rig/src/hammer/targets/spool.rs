//! The spill file on a real disk: read, mended or put aside, and read again.

use std::fs;

use thermowell::spool::SpillFile;
use thermowell_wire::batch;
use thermowell_wire::spill::{Place, decode};

use super::spill;
use crate::hammer::judge::{Complaint, Target, Trace, done, must, same};

pub(super) const TARGET: Target = Target {
    name: "spool",
    what: "spill files on a disk, and what the agent takes from them",
    longest: 4_096,
    judge,
    cases: include_str!("../../../fuzz-corpus/spool.txt"),
    ..spill::TARGET
};

fn judge(input: &[u8]) -> Result<Trace, Complaint> {
    let mut trace = Trace::of(input.len());
    let folder = done("a folder can be made", tempfile::tempdir())?;
    let mut file = SpillFile::new(folder.path(), "cellar", &"b1".parse().expect("an id"));
    done("a file can be written", fs::write(file.path(), input))?;
    let found = done("a file is read or put aside", file.load())?;
    if let Some((aside, reason)) = &found.aside {
        trace.note_shape(&reason.split(' ').take(3).collect::<String>());
        let kept = done("what is put aside can be read", fs::read(aside))?;
        same("what is put aside is kept as it was", &kept.as_slice(), &input)?;
    }
    trace.note((found.aside.is_some(), found.torn > 0));
    trace.note_size(u64::try_from(found.messages.len()).expect("lengths fit into 64 bits"));
    let all_good = found.messages.iter().all(|message| batch::decode(message).is_ok());
    must(all_good, "what is handed over can be read")?;

    let again = done("a mended file is read", file.load())?;
    must(again.aside.is_none() && again.torn == 0, "a file is mended once")?;
    same("a mended file holds what was handed over", &again.messages, &found.messages)?;
    let Ok((header, places)) = decode(input) else { return Ok(trace) };
    trace.accept();
    if (header.gateway, header.boiler, header.stream) != ("cellar", "b1", "SAMPLES") {
        return same("what is another's is not taken", &found.messages.len(), &0).map(|()| trace);
    }
    let good: Vec<Vec<u8>> = places
        .filter_map(|place| match place {
            Place::Message(message) if batch::decode(message).is_ok() => Some(message.to_vec()),
            Place::Message(_) | Place::Damaged { .. } => None,
        })
        .collect();
    same("each good record is handed over", &found.messages, &good)?;
    Ok(trace)
}
