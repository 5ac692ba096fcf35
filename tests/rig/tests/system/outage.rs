//! A server that is away for longer than the device remembers, and an agent that ends meanwhile: the spill file.

use std::time::Duration;

use rig::house::{House, SOON, assert_whole};
use rustix::process::Signal;

/// What the devices remember, in real time: the outages are longer.
const RING: Duration = Duration::from_secs(16);
/// A sync of the spill file may be this old when the agent dies; with its restart that stays inside the ring.
const SYNC: Duration = Duration::from_secs(10);

/// A house whose server has just been killed. The memory of the devices is short, so that an outage takes seconds.
fn without_a_server(spill_after: &str) -> House {
    let slots = (RING.as_secs() * 100).to_string();
    let arguments = ["--speed", "2", "--sim-arg=--ring", &format!("--sim-arg={slots}"), "--spill-after", spill_after];
    let mut house = House::start(super::DEMO, &arguments);
    house.catch_up(SOON);
    house.processes.broker.kill().expect("it runs");
    house
}

fn spill_files(house: &House) -> usize {
    let files = std::fs::read_dir(house.plan.spool()).into_iter().flatten().flatten();
    files.filter(|file| file.file_name().to_string_lossy().ends_with(".spill")).count()
}

#[test]
fn an_agent_killed_in_an_outage_beyond_the_ring_loses_nothing() {
    let mut house = without_a_server("3");
    house.until("memory is spilled", SOON, |house| (spill_files(house) == 2).then_some(()));
    house.go_on(RING + SYNC);
    house.processes.agent.signal(Signal::KILL).expect("it runs");
    house.until("the agent is back", SOON, |house| house.processes.agent.pid());
    house.processes.broker.restart().expect("its store is there");
    assert_whole(&house.close());
}

#[test]
fn an_agent_stopped_in_an_outage_beyond_the_ring_writes_down_what_it_holds() {
    let mut house = without_a_server("60");
    house.go_on(RING + RING / 4);
    assert_eq!(spill_files(&house), 0, "it is not time");
    let status = house.processes.agent.stop(SOON).expect("the kernel knows our children").expect("it ran");
    assert!(status.success(), "{status}");
    assert_eq!(spill_files(&house), 2);
    house.processes.agent.bring_up().expect("it starts again");
    house.processes.broker.restart().expect("its store is there");
    assert_whole(&house.close());
}
