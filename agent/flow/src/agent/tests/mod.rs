//! The agent against a model of everything around it: section 1 of the design, seed by seed.
//!
//! A world is a device, a line, a stream and an agent, and one seed. Its time jumps from one event to the next. A phase
//! with faults (lost, flipped and delayed bytes, pulled cables, reboots, lost acknowledgements, zombie publishes,
//! servers that lose their tail, crashes of the agent) is followed by a calm one; then the stream must hold every slot
//! exactly once and in order, as the reading that was taken or as a gap that is justified.

mod cases;
mod device;
mod disk;
mod stream;
mod world;

use world::{Faults, World};

/// Runs these seeds, or `WORLD_SEEDS` times as many where that is set.
fn run(seeds: core::ops::Range<u64>, faults: &Faults) {
    let times = std::env::var("WORLD_SEEDS").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let more = (1..times).flat_map(|time| seeds.clone().map(move |seed| seed + 10_000 * time));
    for seed in seeds.clone().chain(more) {
        World::new(seed, faults.clone()).run();
    }
}

#[test]
fn a_clean_line_delivers_everything_at_once() {
    run(0..5, &Faults::none());
}

#[test]
fn noise_and_lost_answers_lose_nothing() {
    run(100..120, &Faults { noise: 20, lost_acks: 20, zombies: 10, ..Faults::none() });
}

#[test]
fn crashes_cables_and_servers_within_the_ring_lose_nothing() {
    run(200..280, &Faults::gentle());
}

#[test]
fn a_server_that_takes_small_messages_only_loses_nothing() {
    for slots_max in [1, 7, 60] {
        run(800..810, &Faults { slots_max, ..Faults::gentle() });
    }
}

#[test]
fn what_a_boot_has_sent_survives_its_end() {
    run(
        350..370,
        &Faults {
            reboots: true,
            only_reboots: true,
            every: 4 * world::SECOND,
            outage: 2 * world::SECOND,
            ..Faults::none()
        },
    );
}

#[test]
fn boots_and_long_outages_lose_only_what_is_named() {
    run(400..480, &Faults::harsh());
}

#[test]
fn an_emptied_stream_begins_again_with_what_is_still_there() {
    run(600..620, &Faults { wipes: true, ..Faults::harsh() });
}
