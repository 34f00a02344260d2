//! The rights that SECURITY.md lists, on a broker that refuses everything else: each identity does its work with
//! its own, and without any one of them `run` says which and exits with 6.

#[path = "kafka_rights/granted.rs"]
mod granted;
mod support;

use std::process::{Command, Output};

use granted::{Right, grant, rights};
use support::kafka::{Broker, Options};
use support::processor::{PATIENCE, Processor};
use support::scene::Scene;

const PASSWORD: &str = "canary-6204";

fn broker(users: impl IntoIterator<Item = String>) -> Broker {
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Broker::start_with(&Options {
        users: users
            .into_iter()
            .map(|user| (user, PASSWORD.to_owned()))
            .collect(),
        settings: vec![
            setting(
                "authorizer.class.name",
                "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            ),
            // The listener without security, for what the test itself does.
            setting("super.users", "User:ANONYMOUS"),
        ],
        ..Options::default()
    })
}

fn become_user(scene: &mut Scene<'_>, user: &str) {
    scene.become_user(user, PASSWORD);
}

fn command(scene: &Scene<'_>, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meterfold"))
        .args(words)
        .arg("--config")
        .arg(scene.setup.config(0))
        .output()
        .unwrap()
}

#[track_caller]
fn succeeds(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn each_identity_works_with_the_rights_that_are_listed() {
    let users = [
        "run",
        "recover",
        "topics",
        "dead-letters",
        "audit",
        "archive",
        "audit-without-letters",
        "run-without-group",
        "run-without-transactions",
    ]
    .map(String::from);
    let broker = broker(users.clone());
    let mut scene = Scene::new(&broker, "rights", 2);
    for user in &users {
        let (identity, missing) = user.split_once("-without-").unwrap_or((user, "nothing"));
        for mut right in rights(identity, &scene.setup) {
            if missing == "letters" {
                right.leave_out(&scene.setup.topic("dead-letters"));
            }
            if !right.is_needed_for(missing) {
                grant(&broker, &[user], &right);
            }
        }
    }
    become_user(&mut scene, "topics");
    broker.delete_topic(&scene.setup.topic("monthly-invoice"));
    succeeds(&command(&scene, &["topics", "create"]));
    let checked = command(&scene, &["topics", "check"]);
    assert_eq!(
        checked.status.code(),
        Some(6),
        "the rights of run are missing"
    );
    assert_eq!(broker.partitions(&scene.setup.topic("monthly-invoice")), 2);

    become_user(&mut scene, "run");
    scene.fold_share(2);
    scene.wait_until_empty();
    let validate = |scene: &Scene<'_>| command(scene, &["validate", "--against-cluster"]);
    succeeds(&validate(&scene));
    for (user, words) in [
        ("run-without-group", "--operation Read --group"),
        ("run-without-transactions", "transactional id"),
    ] {
        become_user(&mut scene, user);
        let output = validate(&scene);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(6), "{user}: {said}");
        assert!(said.contains(words), "{user}: {said}");
    }
    become_user(&mut scene, "run");

    broker.delete_group(&scene.setup.name);
    scene.assert_halts("OFFSETS_MISSING", &["recover"]);
    become_user(&mut scene, "recover");
    for partition in 0..2 {
        scene.recover(partition, &["--offsets-from-meta"]);
    }
    become_user(&mut scene, "dead-letters");
    succeeds(&command(&scene, &["dead-letters", "list"]));

    become_user(&mut scene, "run");
    let mut processor = scene.start();
    scene.assert_goes_on_with(&mut processor, "after recover");
    processor.stop();
    become_user(&mut scene, "audit");
    scene.assert_complete("after recover");
    // Whoever may not describe a topic is told by brokers that there is none.
    become_user(&mut scene, "audit-without-letters");
    let refused = command(&scene, &["audit", "--all", "--month", "2026-01"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(6), "{said}");
    let missing = format!(
        "topic {} needs Read and Describe",
        scene.setup.topic("dead-letters")
    );
    assert!(said.contains(&missing), "{said}");
    become_user(&mut scene, "archive");
    let to = scene.setup.dir().join("archive");
    let to = to.to_str().expect("a path");
    succeeds(&command(&scene, &["archive", "--to", to]));
    become_user(&mut scene, "dead-letters");
    succeeds(&command(
        &scene,
        &[
            "dead-letters",
            "replay",
            "--execute",
            "--reason",
            "malformed",
        ],
    ));
}

#[test]
fn without_any_right_of_its_own_a_run_is_refused() {
    // Whoever may read or write may describe, so that right is never missed.
    let is_missed = |right: &&Right| right.operation != "Describe";
    let users: Vec<String> = (0..16).map(|number| format!("without-{number}")).collect();
    let broker = broker(users.clone());
    let mut scene = Scene::new(&broker, "rights_missing", 1);
    scene.produce_share(4);
    let rights = rights("run", &scene.setup);
    let missed: Vec<&Right> = rights.iter().filter(is_missed).collect();
    assert_eq!(missed.len(), 9, "{missed:?}");
    for right in &rights {
        let others = missed
            .iter()
            .zip(&users)
            .filter(|(missing, _)| **missing != right);
        let others: Vec<&String> = others.map(|(_, user)| user).collect();
        grant(&broker, &others, right);
    }
    let mut faults = Vec::new();
    for (right, user) in missed.iter().zip(&users) {
        become_user(&mut scene, user);
        let mut processor: Processor = scene.start();
        let status = processor.ended(PATIENCE);
        let said = processor.log();
        let last = said.lines().last().unwrap_or_default();
        assert!(!said.contains("canary"), "{said}");
        if status.code() != Some(6) || !right.is_named_by(last) {
            faults.push(format!("without {right:?}: {status}: {last}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
