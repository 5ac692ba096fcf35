//! The JSON of COMMAND: what people ask for, what they approve of, what is ordered.

use thermowell_flow::published::{Action, Approval, Approved, BasedOn, Command, Reset};
use thermowell_wire::line::FaultKind;
use thermowell_wire::{Boot, Occurrence, Slot};

use super::json::{JSON, UTC, boiler, json, judge};
use crate::hammer::judge::Target;

pub(super) const COMMAND: Target = Target {
    name: "command",
    what: "what an operator asks for, as JSON",
    seeds: || {
        let actions = [
            Action::Boost { flow: 65.0 },
            Action::SetBack { room: 16.5 },
            Action::HotWater { flow: 60.0 },
            Action::Hold,
            Action::Release,
        ];
        actions.map(|action| json(&command(action))).to_vec()
    },
    judge: judge::<Command>,
    ..JSON
};

pub(super) const APPROVAL: Target = Target {
    name: "approval",
    what: "an approval of a reset, as JSON",
    seeds: || vec![json(&approval())],
    judge: judge::<Approval>,
    ..JSON
};

pub(super) const RESET: Target = Target {
    name: "reset",
    what: "the reset of a lockout, as JSON",
    seeds: || vec![json(&reset())],
    judge: judge::<Reset>,
    ..JSON
};

const BOOT: Boot = Boot(0x0000_0007_dead_be42);
const FAULT: Occurrence = Occurrence { boot: BOOT, counter: 3 };

fn command(action: Action) -> Command {
    let based_on = BasedOn {
        state: 31,
        status: 32,
        command: 7,
        slot: Slot { boot: BOOT, seq: 360_000 },
        current: 47.25,
        average: 46.13,
        coverage: 0.99722,
    };
    let ends = action != Action::Release;
    Command {
        id: "2026-01-07-party".parse().expect("an id"),
        boiler: boiler(),
        by: "anna".parse().expect("a name"),
        action,
        created_at: UTC,
        valid_until: ends.then_some(UTC + 1_800.0),
        based_on: ends.then_some(based_on),
        version: 1,
    }
}

fn approval() -> Approval {
    Approval {
        boiler: boiler(),
        fault: FAULT,
        kind: FaultKind::Ignition,
        by: "anna".parse().expect("a name"),
        created_at: UTC,
        version: 1,
    }
}

fn reset() -> Reset {
    let approved = |by: &str, sequence| Approved { by: by.parse().expect("a name"), sequence, at: UTC };
    Reset {
        boiler: boiler(),
        fault: FAULT,
        kind: FaultKind::Ignition,
        approvals: vec![approved("anna", 8), approved("ben", 9)],
        instance: "cellar".to_owned(),
        created_at: UTC,
        valid_until: UTC + 60.0,
        version: 1,
    }
}
