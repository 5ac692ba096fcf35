//! Names and numbers from other programs: subjects, boiler ids, boots.

use thermowell_wire::subject::{self, EventKind};
use thermowell_wire::{BoilerId, Boot};

use super::inputs::Grammar;
use super::run::Target;

pub(crate) const TARGET: Target = Target { grammar, judge, cases: &[] };

fn judge(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let (id, boot, of_subject) = (text.parse::<BoilerId>(), text.parse::<Boot>(), subject::boiler_of(text));
    if let Ok(id) = &id {
        let is_fine = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        assert!(text.bytes().all(is_fine) && (1..=32).contains(&text.len()), "an id is a file name and a token");
        assert!(!text.starts_with(['_', '-']), "an id is no option");
        assert_eq!(id.to_string(), text);
        for subject in [subject::samples(id), subject::feed(id), subject::event(id, EventKind::Snapshot)] {
            assert_eq!(subject::boiler_of(&subject).as_ref(), Some(id));
        }
    }
    if let Ok(boot) = &boot {
        assert_eq!(boot.to_string(), text.to_ascii_lowercase());
    }
    if let Some(id) = &of_subject {
        assert_eq!(Some(id.as_str()), text.split('.').nth(1), "a subject names its second token");
    }
    id.is_ok() || boot.is_ok() || of_subject.is_some()
}

fn grammar() -> Grammar {
    let id: BoilerId = "boiler_house-2".parse().expect("an id");
    let subjects = [subject::samples(&id), subject::feed(&id), subject::event(&id, EventKind::Snapshot)];
    let words = [id.to_string(), Boot(0x0000_0007_dead_be42).to_string()];
    let seeds = subjects.iter().map(|subject| subject.as_bytes().to_vec()).chain(words.map(String::into_bytes));
    let words = "boiler.|.samples.v1|.event.|.|*|>|b1|-|_|0|F|ä";
    Grammar::new(seeds.map(|seed| vec![seed]).collect(), <[_]>::concat).with_words(words)
}
