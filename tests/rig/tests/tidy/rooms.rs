//! Imports between the rooms.

use crate::source::{Breaches, Rule, Source};

/// The rooms of a crate in the direction of the data: each may import the rooms to its left. In `flow`, all may import
/// `time`, `plausible` (which readings can be) and `published` (the JSON that others read), and the roles
/// compose the rooms ahead of them.
const ORDERS: [(&str, &str); 2] = [
    (
        "agent/flow/src/",
        "time plausible published serial decode batch spool publish actuate agent consume aggregate snapshot feed \
         aggregator control controller command reset conformance testing",
    ),
    (
        "firmware-sim/sim/src/",
        "quantity random weather plant sensor scenario replay source account boiler bench proof clock line port \
         station console simulation cli",
    ),
];

const GATEWAY_ROOMS: &str =
    "serial decode batch spool publish consume aggregate snapshot feed control actuate command reset ambient";
/// The composers of the gateway's rooms.
const GATEWAY_COMPOSERS: &str = "agent aggregator controller front cli commands run";

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "a room imports only rooms to its left",
        breaches: |source| {
            let order = ORDERS.iter().find(|(folder, _)| source.path.starts_with(folder));
            order.map_or_else(Vec::new, |(_, order)| to_the_right(source, order))
        },
        samples: &[
            ("agent/flow/src/batch.rs", "use crate::time::Utc;\nuse crate::{\n    time::{A, B},\n spool as s,\n};", 1),
            ("agent/flow/src/batch.rs", "fn f() { g!(crate::spool::new()) } // crate::feed", 1),
            ("agent/flow/src/batch.rs", "use super::spool::Spool;", 1),
            ("agent/flow/src/batch/cut.rs", "use super::spool;\nuse super::super::feed;", 1),
            ("agent/flow/src/batch.rs", "use other::spool;\npub(crate) use a::b;\nf! { $crate::spool!() }", 0),
            ("agent/flow/src/batch.rs", "#[cfg(test)]\nmod tests {\n use crate::feed;\n}", 0),
            ("agent/flow/src/batch/tests.rs", "use crate::spool;", 0),
            ("agent/flow/src/spool/mod.rs", "use crate::{batch::Batch, time::Utc};", 0),
            ("agent/flow/src/spool.rs", "use crate::Batch;", 1),
            ("agent/flow/src/extra.rs", "", 1),
            ("firmware-sim/sim/src/plant/tap.rs", "use crate::scenario::window_us;", 1),
        ],
    },
    Rule {
        name: "rooms of the gateway do not import each other",
        breaches: |source| {
            let is_in = |list: &str, name: &str| list.split_whitespace().any(|known| known == name);
            let room =
                source.path.strip_prefix("agent/gateway/src/").and_then(|_| module_path(source).first().copied());
            let Some(room) = room.filter(|room| is_in(GATEWAY_ROOMS, room)) else { return Vec::new() };
            let is_other = |name: &str| name != room && (is_in(GATEWAY_ROOMS, name) || is_in(GATEWAY_COMPOSERS, name));
            let others = imports(source).into_iter().filter(|(_, name)| is_other(name));
            others.map(|(line, name)| (line, format!("{room} imports {name}"))).collect()
        },
        samples: &[
            ("agent/gateway/src/publish.rs", "use crate::{clock, serial::Port, agent};", 2),
            ("agent/gateway/src/agent.rs", "use crate::{publish, serial};", 0),
        ],
    },
];

fn to_the_right(source: &Source, order: &str) -> Breaches {
    let Some(room) = module_path(source).first().copied() else { return Vec::new() };
    let place = |name: &str| order.split_whitespace().position(|known| known == name);
    let Some(own) = place(room) else { return vec![(0, format!("give {room} its place in the order, in tidy"))] };
    let wrong = imports(source).into_iter().filter_map(|(line, name)| match place(&name) {
        Some(other) if other <= own => None,
        Some(_) => Some((line, format!("{room} imports {name}"))),
        None => Some((line, format!("import {name} from its room"))),
    });
    wrong.collect()
}

/// The path of a source file below its `src`, as module names: `batch/mod.rs` is `[batch]`.
fn module_path(source: &Source) -> Vec<&str> {
    let inner = source.path.rsplit_once("/src/").map_or("", |(_, inner)| inner).trim_end_matches(".rs");
    inner.split('/').filter(|part| !["mod", "lib", "main", ""].contains(part)).collect()
}

/// Every name below the crate's root that the file's code (not its tests) refers to, with its line: of `crate::a::b`
/// it is `a`, of `crate::{a::{b, c}, d}` `a` and `d`; `super` counts if it leads to the root.
fn imports(source: &Source) -> Breaches {
    let tokens: Vec<_> = source.tokens.iter().map(|(_, token)| token.as_str()).collect();
    let up = ["super", "::"].repeat(module_path(source).len());
    let mut found = Vec::new();
    for root in [&["crate", "::"], up.as_slice()] {
        for at in source.places_of(root) {
            // `super::super::x` is resolved as a whole, and `$crate::` belongs to the user of a macro.
            if at > 0 && ["::", "$"].contains(&tokens[at - 1]) {
                continue;
            }
            let mut depth = 0_usize;
            for next in at + root.len()..tokens.len() {
                match tokens[next] {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    _ if depth == 0 || depth == 1 && ["{", ","].contains(&tokens[next - 1]) => found.push(next),
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        }
    }
    let is_code = |at: &usize| tokens[*at] != "super" && !source.is_test(source.tokens[*at].0);
    found.into_iter().filter(is_code).map(|at| source.tokens[at].clone()).collect()
}
