//! What objects of a value set must show: texts that no schema asks for.

use super::objects::{kind, objects};

/// A value set, the kind of an object, and what one of that kind has.
const WANTED: [(&str, &str, &str); 5] = [
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
    // An identity of the cloud.
    (
        "names",
        "ServiceAccount",
        "  annotations:\n    example.org/cost-centre: \"4711\"\n    example.org/role: meterfold\n",
    ),
    (
        "strimzi",
        "KafkaTopic",
        "    example.org/cost-centre: \"4711\"\n    helm.sh/resource-policy: keep\n",
    ),
    (
        "checked",
        "StatefulSet",
        "        name: state\n        annotations:\n          example.org/backup: \"false\"\n      spec:\n        \
         accessModes: [ReadWriteOncePod]\n",
    ),
];

/// Kinds whose names end up in names of hosts or in labels, and how long they may be.
const NAME_LENGTHS: [(&str, usize); 5] = [
    ("CronJob", 52),
    ("Job", 63),
    ("Pod", 63),
    ("Service", 63),
    // A label has 11 characters more.
    ("StatefulSet", 52),
];

/// Names that Kubernetes would refuse, though the schemas do not.
pub fn long_names(set: &str) -> Vec<String> {
    let names = objects(set).filter_map(|object| {
        let longest = NAME_LENGTHS
            .iter()
            .find(|(name, _)| *name == kind(object))?;
        let (_, rest) = object.split_once("\nmetadata:\n  name: ")?;
        Some((longest, rest.lines().next()?))
    });
    let too_long = names.filter(|((_, longest), name)| name.len() > *longest);
    too_long
        .map(|((kind, longest), name)| format!("{kind} {name}: longer than {longest}"))
        .collect()
}

/// What the pods of `helm/ci/checked.yaml` have from its values, whatever they run.
const EACH_POD: [&str; 6] = [
    "team: billing",
    "sidecar.istio.io/inject: \"false\"",
    "priorityClassName: billing",
    "runtimeClassName: gvisor",
    "disk: nvme",
    "key: billing",
];

/// Pods that a mesh, a policy or a tainted node would stop; those of instances alone keep apart.
pub fn stray_pods(set: &str) -> Vec<String> {
    let pods = objects(set).filter(|object| object.contains(" containers:\n"));
    let mut faults = Vec::new();
    for pod in pods {
        // Labels of the pod, not those of what makes it.
        let template = pod
            .split_once(" template:\n")
            .map_or(pod, |(_, template)| template);
        let missing = EACH_POD.iter().filter(|text| !template.contains(*text));
        faults.extend(missing.map(|text| format!("{}: without {text}", kind(pod))));
        if template.contains("affinity:") != (kind(pod) == "StatefulSet") {
            faults.push(format!("{}: affinity", kind(pod)));
        }
    }
    faults
}

/// Objects without the annotation that all are to have.
pub fn bare_objects(set: &str) -> Vec<String> {
    let bare = objects(set).filter(|object| {
        let head = object.split("\nspec:\n").next().unwrap();
        !head.contains("\n    example.org/cost-centre: \"4711\"") && !kind(object).is_empty()
    });
    bare.map(|object| format!("{}: without commonAnnotations", kind(object)))
        .collect()
}

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
