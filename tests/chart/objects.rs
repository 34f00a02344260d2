//! Rendered objects: what no pod may have, and what an upgrade cannot change.

/// The standard of pods that Kubernetes calls restricted, and more.
const EACH_POD: [&str; 8] = [
    "runAsNonRoot: true",
    "seccompProfile:",
    "type: RuntimeDefault",
    "allowPrivilegeEscalation: false",
    "readOnlyRootFilesystem: true",
    "drop: [ALL]",
    "automountServiceAccountToken: false",
    "enableServiceLinks: false",
];
const NO_POD: [&str; 8] = [
    "hostPath:",
    "hostNetwork:",
    "hostPID:",
    "hostIPC:",
    "hostPort:",
    "privileged:",
    "add:",
    "command:",
];

/// What Kubernetes lets an update of a StatefulSet change.
const MUTABLE: [&str; 7] = [
    "replicas",
    "template",
    "updateStrategy",
    "minReadySeconds",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "ordinals",
];

fn objects(set: &str) -> impl Iterator<Item = &str> {
    set.split("\n---\n")
}

fn kind(object: &str) -> &str {
    let kind = object.lines().find_map(|line| line.strip_prefix("kind: "));
    kind.unwrap_or_default()
}

/// Number of pods, and what is wrong with them.
pub fn pods(set: &str) -> (usize, Vec<String>) {
    let pods: Vec<&str> = objects(set)
        .filter(|object| object.contains(" containers:\n"))
        .collect();
    let mut faults = Vec::new();
    for pod in &pods {
        let lines: Vec<&str> = pod
            .lines()
            .map(|line| line.trim_start().trim_start_matches("- "))
            .collect();
        let has = |wanted: &str| lines.iter().any(|line| line.starts_with(wanted));
        let missing = EACH_POD.iter().filter(|wanted| !has(wanted));
        faults.extend(missing.map(|wanted| format!("{}: without {wanted}", kind(pod))));
        let present = NO_POD.iter().filter(|unwanted| has(unwanted));
        faults.extend(present.map(|unwanted| format!("{}: has {unwanted}", kind(pod))));
    }
    (pods.len(), faults)
}

/// The part of the StatefulSet that stays as it is for the life of a release.
pub fn immutable(set: &str) -> String {
    let object = objects(set).find(|object| kind(object) == "StatefulSet");
    let (_, spec) = object.unwrap().split_once("\nspec:\n").unwrap();
    let mut kept = String::new();
    let mut is_kept = false;
    for line in spec.lines().filter(|line| !line.contains('#')) {
        let text = line.trim_start();
        if line.len() - text.len() == 2 {
            let key = text.split(':').next().unwrap();
            is_kept = !MUTABLE.contains(&key);
        }
        if is_kept {
            kept += &format!("{line}\n");
        }
    }
    kept
}
