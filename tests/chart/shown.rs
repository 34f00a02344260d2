//! What objects of a value set must show: texts that no schema asks for.

use super::objects::{kind, objects};

/// A value set, the kind of an object, and what one of that kind has.
const WANTED: [(&str, &str, &str); 2] = [
    // The registry is reached without a rule of its own.
    (
        "checked",
        "NetworkPolicy",
        "        - port: 9093\n    # The schema registry, and what hands out tokens.\n    \
         - ports:\n        - port: 8081\n    - ports:\n      - port: 443",
    ),
    // Files of all charts lie in one folder of the sidecar.
    (
        "service-monitor",
        "ConfigMap",
        "\ndata:\n  meterfold-overview.json: |\n",
    ),
];

/// What is missing; `set` gives the objects of a value set.
pub fn faults(set: impl Fn(&str) -> String) -> Vec<String> {
    let is_shown = |(name, wanted, text): &&(&str, &str, &str)| {
        let all = set(&format!("{name}.yaml"));
        let mut found = objects(&all).filter(|object| kind(object) == *wanted);
        found.any(|object| object.contains(text))
    };
    let missing = WANTED.iter().filter(|wanted| !is_shown(wanted));
    missing
        .map(|(name, kind, text)| format!("{name}: no {kind} has\n{text}"))
        .collect()
}
