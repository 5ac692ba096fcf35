//! After a reconnect the agent waits for the next renewal.

use world::reconnect::reconnect;

#[test]
fn a_lease_that_was_stored_before_the_reconnect_is_not_carried_to_the_device() {
    // The lease stands still when the server is back after 8 s, and has ended after 70 s.
    for (away_s, agent_dies, obeys) in [(8, false, true), (8, true, true), (70, false, false), (70, true, false)] {
        let seen = reconnect(away_s, agent_dies);
        assert_eq!(seen.outcome.failure, None, "{:#?}", seen.outcome.history);
        assert!(seen.before >= 3, "{away_s} s: {seen:?}");
        assert_eq!((seen.meanwhile, seen.obeys), (0, obeys), "{away_s} s, the agent dies: {agent_dies}: {seen:?}");
        assert_eq!(seen.after, 1, "{away_s} s, the agent dies: {agent_dies}: {seen:?}");
    }
}
