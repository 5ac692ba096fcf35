//! Rows of `cargo faults` as tests: what each does and predicts stands in `src/faults/rows`.

use rig::faults;

fn play(row: &str) {
    faults::play(super::DEMO, row);
}

#[test]
fn twenty_kills_lose_and_duplicate_nothing() {
    play("kill-any");
}

#[test]
fn ten_second_outage_loses_nothing_and_logs_little() {
    play("down-10s");
}

#[test]
fn without_a_server_the_agent_holds_and_then_delivers() {
    play("offline");
}

#[test]
fn an_agent_killed_in_an_outage_beyond_the_ring_loses_nothing() {
    play("outage-kill");
}

#[test]
fn an_agent_stopped_in_an_outage_writes_down_what_it_holds() {
    play("outage-stop");
}

#[test]
fn sighup_in_an_outage_spills_the_backlog() {
    play("outage-hangup");
}

#[test]
fn of_two_aggregators_one_goes_on() {
    play("second-aggregator");
}

#[test]
fn a_second_agent_stands_by_and_takes_over() {
    play("second-agent");
}

#[test]
fn beyond_the_ring_exactly_what_it_lost_is_missing() {
    play("cable-out");
}

#[test]
#[ignore = "three minutes"]
fn beyond_the_whole_ring_exactly_what_it_lost_is_missing() {
    play("cable-ring");
}

#[test]
fn within_the_ring_nothing_is_missing_and_the_port_opens_soon() {
    play("replug-traffic");
}

#[test]
fn a_port_in_use_is_waited_for_while_the_other_boiler_goes_on() {
    play("port-held-start");
}

#[test]
fn batches_above_max_payload_are_cut_and_none_is_lost() {
    play("max-payload");
}

#[test]
fn batches_above_max_msg_size_are_cut_until_it_is_raised() {
    play("max-msg-size");
}

#[test]
fn streams_that_do_not_fit_are_waited_for() {
    play("storage-full");
}
