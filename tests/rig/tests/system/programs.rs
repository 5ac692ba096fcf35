//! The page for programs, with programs that share no code with ours: its decoders, in Python and JavaScript, against
//! the vectors of the layouts, and the schemas against what a run publishes.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rig::house::{House, SOON};
use rig::nats::python_validator;
use serde_json::{Value, json};
use thermowell_wire::batch::{self, BatchHeader, ClockQuality, Packed};
use thermowell_wire::line::GapReason;
use thermowell_wire::subject::{self, EventKind, stream};
use thermowell_wire::{Boot, CentiCelsius, Reading};

const PAGE: &str = include_str!("../../../../deploy/PROGRAMS.md");
const LAYOUTS: &str = include_str!("../../../../agent/wire/LAYOUTS.md");

/// Prints what is decoded of each line on its standard input, or that it is refused.
const PYTHON: &str = r#"
import sys
for line in sys.stdin:
    try:
        head, samples = decode(bytes.fromhex(line))
        print(*(int(value) for value in head.values()), *(f"{s} {t} {c} {m};" for s, t, c, m in samples))
    except (ValueError, KeyError, IndexError) as error:
        print("refused")
"#;
const JAVASCRIPT: &str = r"
for (const line of require('fs').readFileSync(0, 'utf8').trimEnd().split('\n')) {
  try {
    const [head, samples] = decode(Uint8Array.from(Buffer.from(line, 'hex')));
    console.log([...Object.values(head), ...samples.map(sample => sample.join(' ') + ';')].join(' '));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    console.log('refused');
  }
}
";

/// The block of this language on the page.
fn block(language: &str) -> &'static str {
    let (_, block) = PAGE.split_once(&format!("```{language}\n")).expect("a block in this language");
    block.split_once("```").expect("its end").0
}

/// The messages of the layouts' vectors, and a long one.
fn messages() -> Vec<Vec<u8>> {
    let blocks = LAYOUTS.split("```packed\n").skip(1).map(|block| block.split("```").next().unwrap_or_default());
    let bytes = blocks.map(|block| {
        let (_, hex) = block.split_once("bytes ").expect("a vector has bytes");
        hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    });
    let reading =
        |n: i16| Reading { temperature: CentiCelsius(6_000 + n * 7 % 300), marks: u8::try_from(n / 300 * 4).unwrap() };
    let readings: Vec<Reading> = (0..1_000).map(reading).collect();
    let header = BatchHeader {
        device: 7,
        boot: Boot(0x0000_0003_dead_beef),
        seq: 360_000,
        count: 1_000,
        first_utc_ns: 1_767_754_800_010_000_000,
        period_ns: 10_000_000,
        clock: ClockQuality::Synced,
        simulated: true,
    };
    let mut out = vec![0; batch::encoded_max(1_000)];
    let long = batch::encode_batch(&header, &readings, &mut out).unwrap().to_vec();
    bytes.chain([long]).collect()
}

/// What a decoder should print of this message.
fn printed(message: &[u8]) -> String {
    match batch::decode(message).unwrap() {
        Packed::Batch(batch) => {
            let BatchHeader { device, boot, seq, count, first_utc_ns, period_ns, clock, simulated } = batch.header;
            let (clock, simulated) = (clock as u8, u8::from(simulated));
            let mut text = format!("{device} {} {seq} {count} {first_utc_ns} {period_ns} {clock} {simulated}", boot.0);
            for (index, reading) in (0..).zip(batch.readings()) {
                let (slot, utc_ns) = (seq + u64::from(index), batch.header.utc_ns(index));
                write!(text, " {slot} {utc_ns} {} {};", reading.temperature.0, reading.marks).unwrap();
            }
            text
        }
        Packed::Gap(gap) => {
            let batch::Gap { device, boot, from, to, reason, from_utc_ns, period_ns, clock, simulated } = gap;
            let reasons = [GapReason::Ring, GapReason::Missed, GapReason::Discarded, GapReason::Clock];
            let reason = reasons.iter().position(|known| *known == reason).unwrap();
            let (clock, simulated) = (clock as u8, u8::from(simulated));
            format!("{device} {} {from} {to} {reason} {from_utc_ns} {period_ns} {clock} {simulated}", boot.0)
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The lines that a program prints for these lines; none if there is no such interpreter.
fn answers(interpreter: &[&str], program: &str, lines: &str) -> Option<Vec<String>> {
    let mut command = Command::new(interpreter[0]);
    command.args(&interpreter[1..]).arg(program).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let mut stdin = child.stdin.take().expect("it is piped");
    let lines = lines.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{interpreter:?}: {}", output.status);
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}

/// Feeds the decoder of the page with whole messages, and with each cut off, too long and of another layout.
fn judge(interpreter: &[&str], language: &str, driver: &str) {
    let (messages, mut lines, mut expected) = (messages(), String::new(), Vec::new());
    assert!(messages.len() > 6, "the vectors of section 6");
    for message in &messages {
        let mut other = message.clone();
        other[0] = 2;
        writeln!(lines, "{}", hex(message)).unwrap();
        expected.push(printed(message));
        for wrong in [&message[..message.len() - 1], &[message.as_slice(), &[0]].concat(), &other] {
            writeln!(lines, "{}", hex(wrong)).unwrap();
            expected.push("refused".to_owned());
        }
    }
    let decoder = block(language);
    assert!(decoder.lines().count() <= 25, "{language}: {} lines", decoder.lines().count());
    match answers(interpreter, &format!("{decoder}{driver}"), &lines) {
        Some(answers) => assert_eq!(answers, expected, "{language}"),
        None => super::skipped(&format!("there is no {}", interpreter[0])),
    }
}

#[test]
fn decoder_in_python_reads_the_vectors_of_the_layouts() {
    judge(&["python3", "-c"], "python", PYTHON);
}

#[test]
fn decoder_in_javascript_reads_the_vectors_of_the_layouts() {
    judge(&["node", "-e"], "javascript", JAVASCRIPT);
}

/// Prints each error of each message; the last line is their number.
const VALIDATE: &str = r#"
import json, pathlib, sys
from jsonschema import Draft202012Validator
folder, seen = pathlib.Path(sys.argv[1]), set()
schemas = {file.stem: Draft202012Validator(json.loads(file.read_text())) for file in folder.iterdir()}
for line in sys.stdin:
    name, message = json.loads(line)
    seen.add(name)
    for error in schemas[name].iter_errors(message):
        print(name, error.json_path, error.message)
print("judged:", *sorted(seen))
"#;

#[test]
fn schemas_describe_what_a_run_publishes() {
    let mut progress = String::new();
    let packages = python_validator(&mut |line| progress += line).unwrap_or_else(|error| panic!("{progress}{error}"));
    let mut house = House::start(super::DEMO, &["--speed", "300", "--boilers", "1", "--feed"]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    let subjects = [
        ("state", stream::STATE, subject::state(&boiler)),
        ("status", stream::STATUS, subject::status(&boiler)),
        ("setpoint", stream::LEASE, subject::setpoint(&boiler)),
        ("hourly-snapshot", stream::SNAPSHOT, subject::snapshot(&boiler)),
        ("sample", stream::FEED, subject::feed(&boiler)),
        ("event", stream::EVENT, subject::event(&boiler, EventKind::Boot)),
        ("event", stream::EVENT, subject::event(&boiler, EventKind::Decision)),
        ("event", stream::EVENT, subject::event(&boiler, EventKind::Answer)),
    ];
    let mut lines = String::new();
    for (name, stream, subject) in &subjects {
        let message = house.until(name, SOON * 2, |house| house.last(stream, subject));
        writeln!(lines, "{}", json!([name, serde_json::from_slice::<Value>(&message).unwrap()])).unwrap();
    }
    // A message that violates its schema, so that a validator that accepts everything is found.
    writeln!(lines, "{}", json!(["state", { "boiler": "B 1" }])).unwrap();
    drop(house);
    let script = tempfile::NamedTempFile::with_suffix(".py").unwrap();
    fs::write(&script, VALIDATE).unwrap();
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/schema");
    let text = |path: &Path| path.to_str().expect("a plain name").to_owned();
    let program = ["env", &format!("PYTHONPATH={}", text(&packages)), "python3", &text(script.path())];
    let answers = answers(&program, &text(&schemas), &lines).expect("python3 was there to install it");
    let (judged, errors) = answers.split_last().expect("a last line");
    assert_eq!(judged, "judged: event hourly-snapshot sample setpoint state status");
    let is_planted = |error: &&String| error.contains("'B 1'") || error.ends_with(" is a required property");
    let (planted, real): (Vec<&String>, Vec<&String>) = errors.iter().partition(is_planted);
    assert!(planted.len() > 10 && planted.iter().all(|error| error.starts_with("state $")), "{planted:#?}");
    assert!(real.is_empty(), "{real:#?}");
}
