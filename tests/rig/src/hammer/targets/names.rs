//! Names and numbers that others write: subjects, boiler ids, boots.

use thermowell_wire::subject::{self, EventKind};
use thermowell_wire::{BoilerId, Boot};

use crate::hammer::judge::{Complaint, Target, Trace, must, same};

pub(super) const TARGET: Target = Target {
    name: "names",
    what: "subjects, boiler ids and boots",
    longest: 128,
    seeds,
    words: &[b"boiler.", b".samples.v1", b".event.", b".", b"*", b">", b"b1", b"-", b"_", b"0", b"F", "ä".as_bytes()],
    parts: None,
    judge,
    cases: include_str!("../../../fuzz-corpus/names.txt"),
};

fn judge(input: &[u8]) -> Result<Trace, Complaint> {
    let mut trace = Trace::of(input.len());
    let Ok(text) = std::str::from_utf8(input) else { return Ok(trace) };
    if let Ok(id) = text.parse::<BoilerId>() {
        trace.accept();
        trace.note("id");
        let is_fine = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        must(text.bytes().all(is_fine) && (1..=32).contains(&text.len()), "an id survives as file and subject")?;
        must(!text.starts_with(['_', '-']), "an id is no option")?;
        same("an id reads back", &id.to_string().as_str(), &text)?;
        for subject in [subject::samples(&id), subject::feed(&id), subject::event(&id, EventKind::Snapshot)] {
            same("a subject names its boiler", &subject::boiler_of(&subject).as_ref(), &Some(&id))?;
        }
    }
    if let Ok(boot) = text.parse::<Boot>() {
        trace.accept();
        trace.note("boot");
        same("a boot reads back", &boot.to_string(), &text.to_ascii_lowercase())?;
    }
    if let Some(id) = subject::boiler_of(text) {
        trace.accept();
        trace.note(("subject", text.split('.').count()));
        same("a subject names its second token", &Some(id.as_str()), &text.split('.').nth(1))?;
    }
    Ok(trace)
}

fn seeds() -> Vec<Vec<u8>> {
    let id: BoilerId = "boiler_house-2".parse().expect("an id");
    let subjects = [subject::samples(&id), subject::feed(&id), subject::event(&id, EventKind::Snapshot)];
    let words = [id.to_string(), Boot(0x0000_0007_dead_be42).to_string()];
    subjects.iter().map(|subject| subject.as_bytes().to_vec()).chain(words.map(String::into_bytes)).collect()
}
