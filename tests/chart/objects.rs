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

pub fn objects(set: &str) -> impl Iterator<Item = &str> {
    set.split("\n---\n")
}

pub fn kind(object: &str) -> &str {
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

/// What the audit of an archive has not, of `helm/ci/archive.yaml`.
pub fn archive_faults(set: &str) -> Vec<String> {
    let of_kind = |wanted: &str| {
        let mut found = objects(set).filter(|object| kind(object) == wanted);
        found
            .find(|object| object.contains("\n  name: meterfold-audit\n"))
            .unwrap_or_else(|| panic!("no {wanted} of audits"))
    };
    let wanted = [
        (
            "CronJob",
            vec![
                "- --archive=s3://billing-archive/metering\n",
                "- --work-dir=/var/lib/meterfold/audit\n",
                "- name: AWS_REGION\n                  value: \"eu-central-1\"\n",
                "envFrom:\n                - secretRef:\n                    name: meterfold-archive\n",
                "- name: scratch\n                  mountPath: /var/lib/meterfold\n",
                "- name: scratch\n              persistentVolumeClaim:\n                claimName: meterfold-audit\n",
            ],
        ),
        (
            "ServiceAccount",
            vec!["eks.amazonaws.com/role-arn: arn:aws:iam::111122223333:role/auditor\n"],
        ),
        (
            "ConfigMap",
            vec!["\"bootstrap.servers\" = \"kafka-1:9093\""],
        ),
    ];
    let mut faults = Vec::new();
    for (kind, texts) in wanted {
        let missing = texts.iter().filter(|text| !of_kind(kind).contains(*text));
        faults.extend(missing.map(|text| format!("{kind}: without {text}")));
    }
    // No broker is asked.
    if of_kind("ConfigMap").contains("sasl") {
        faults.push("ConfigMap: has credentials of Kafka".to_owned());
    }
    faults
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
