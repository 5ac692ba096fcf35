//! After a reconnect the agent waits for the next renewal.

use world::reconnect::reconnect;

#[test]
fn stored_lease_is_not_forwarded_after_a_reconnect() {
    // The lease is still in force when the server is back after 8 s, and has ended after 70 s.
    for (away_s, agent_dies, leased) in [(8, false, true), (8, true, true), (70, false, false), (70, true, false)] {
        let seen = reconnect(away_s, agent_dies);
        assert_eq!(seen.outcome.failure, None, "{:#?}", seen.outcome.history);
        assert!(seen.before >= 3, "{away_s} s: {seen:?}");
        assert_eq!((seen.meanwhile, seen.leased), (0, leased), "{away_s} s, the agent dies: {agent_dies}: {seen:?}");
        assert_eq!(seen.after, 1, "{away_s} s, the agent dies: {agent_dies}: {seen:?}");
    }
}
