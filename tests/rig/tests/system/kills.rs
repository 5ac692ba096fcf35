//! SIGKILL of every process of ours and of the server, again and again: nothing lost, nothing twice.

use std::time::Duration;

use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rig::house::{House, SOON, assert_whole};
use rustix::process::Signal;

/// Change it and the moments change; a failure prints it.
const SEED: u64 = 3;
/// How often each process dies.
const KILLS: u32 = 5;
const NAMES: [&str; 4] = ["agent", "aggregator", "controller", "nats-server"];

#[test]
fn twenty_kills_lose_nothing_and_double_nothing() {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut victims: Vec<&str> = NAMES.iter().flat_map(|name| [*name; KILLS as usize]).collect();
    victims.shuffle(&mut random);

    // Small batches: fifty publishes a second and boiler for a death to hit.
    let mut house = House::start(super::DEMO, &["--speed", "1", "--feed", "--batch", "2"]);
    for boiler in house.boilers() {
        house.until("samples arrive", SOON, |house| house.stored(&boiler));
    }
    for victim in victims {
        house.go_on(Duration::from_millis(random.random_range(100..1_500)));
        // After several deaths it stays away for a while; dead men cannot be killed.
        house.until(&format!("{victim} is back (seed {SEED})"), SOON, |house| house.role(victim).pid());
        house.role(victim).signal(Signal::KILL).unwrap();
    }
    for name in NAMES {
        house.until(&format!("{name} died {KILLS} times (seed {SEED})"), SOON, |house| {
            (house.role(name).deaths() == KILLS).then_some(())
        });
    }
    // One more, which comes back only while the books wait for it.
    house.until("the aggregator is back", SOON, |house| house.role("aggregator").pid());
    house.role("aggregator").signal(Signal::KILL).unwrap();
    let ledger = house.close();
    assert_whole(&ledger);
    for boiler in &ledger.boilers {
        let average = boiler.average.as_ref().expect("an average");
        // Where a machine stalls while an agent finds its device's clock, slots may be stamped back by more than 20 ms:
        // stored once, in no average, named clock.
        let averaged = boiler.samples.slots - boiler.samples.stamped_back;
        assert_eq!((average.published, average.points), (average.reference, averaged));
        assert!(boiler.samples.stamped_back <= 10 * u64::from(KILLS), "{} slots", boiler.samples.stamped_back);
    }
}
