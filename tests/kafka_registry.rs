//! The registry's client against a real schema registry: answers, denials, outages.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use meterfold::billing::derived_event::DerivedKind;
use meterfold::kafka::registry::{
    RegistryAccess, RegistryClient, RegistryError, RegistryState, schema_id,
};
use meterfold::telemetry::Telemetry;
use meterfold::wire::avro;
use meterfold::wire::kafka_record::SchemaAnswer;
use serde_json::Value as Json;
use support::kafka::Registry;

/// Longer than a request's time and the longest wait behind it.
const PATIENCE: Duration = Duration::from_secs(60);

fn access(registry: &Registry) -> RegistryAccess {
    RegistryAccess {
        url: registry.url().to_owned(),
        username: None,
        password_file: None,
    }
}

fn client(registry: &Registry) -> RegistryClient {
    RegistryClient::start(access(registry), Telemetry::unwatched()).expect("a thread")
}

fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "nothing came");
        thread::sleep(Duration::from_millis(20));
    }
}

fn answer(client: &mut RegistryClient) -> (u32, SchemaAnswer) {
    wait_for(|| client.answers().next())
}

fn waiting(client: &RegistryClient) -> String {
    wait_for(|| match client.state() {
        RegistryState::Waiting { reason, .. } => Some(reason),
        _ => None,
    })
}

#[track_caller]
fn assert_schema(answer: SchemaAnswer, expected: &str) {
    let SchemaAnswer::Schema(text) = answer else {
        panic!("it was denied");
    };
    let json = |text: &str| serde_json::from_str::<Json>(text).expect("JSON");
    assert_eq!(json(&text), json(expected));
}

/// One registry for all, since it takes seconds to start.
#[test]
fn a_registry_answers_denies_goes_away_and_comes_back() {
    let registry = Registry::start();
    let call = avro::input_schema("meterfold.api-call.v1").expect("a schema of ours");
    let hub = avro::input_schema("meterfold.hub-created.v1").expect("a schema of ours");
    let call_id = registry.register("api-calls-value", call);
    let hub_id = registry.register("accounts-value", hub);
    let mut client = client(&registry);

    client.ask(call_id);
    let (id, answered) = answer(&mut client);
    assert_eq!(id, call_id);
    assert_schema(answered, call);

    // It exists, and says that it has no such schema.
    let unknown = hub_id + 1_000;
    client.ask(unknown);
    assert_eq!(answer(&mut client), (unknown, SchemaAnswer::Denied));

    // Gone: nothing is denied, and what was asked for comes when it is back. Its database writes
    // behind: schemas of the last half second would be lost.
    thread::sleep(Duration::from_secs(2));
    registry.kill9();
    client.ask(hub_id);
    client.ask(unknown);
    let reason = waiting(&client);
    assert!(reason.contains("is it up"), "{reason}");
    thread::sleep(Duration::from_secs(2));
    assert_eq!(client.answers().count(), 0);
    registry.restart();
    for _ in 0..2 {
        match answer(&mut client) {
            (id, answered) if id == hub_id => assert_schema(answered, hub),
            (id, answered) => assert_eq!((id, answered), (unknown, SchemaAnswer::Denied)),
        }
    }
    assert_eq!(client.state(), RegistryState::Idle);

    // Hanging: connections are there, answers are not.
    registry.pause();
    client.ask(call_id);
    let reason = waiting(&client);
    assert!(reason.contains("timeout"), "{reason}");
    assert_eq!(client.answers().count(), 0);
    registry.resume();
    assert_schema(answer(&mut client).1, call);

    output_schemas_are_looked_up_or_registered(&registry);
    an_address_that_is_no_registry_denies_nothing(&registry);
}

fn output_schemas_are_looked_up_or_registered(registry: &Registry) {
    let access = access(registry);
    for kind in DerivedKind::ALL {
        let subject = format!("{}-value", kind.name());
        let schema = avro::derived_schema(kind);
        let refused = schema_id(&access, &subject, schema, false);
        assert!(
            matches!(refused, Err(RegistryError::Refused { .. })),
            "{refused:?}"
        );
        let id = schema_id(&access, &subject, schema, true).expect("registered");
        assert_eq!(schema_id(&access, &subject, schema, true), Ok(id));
        assert_eq!(schema_id(&access, &subject, schema, false), Ok(id));
        let mut client =
            RegistryClient::start(access.clone(), Telemetry::unwatched()).expect("a thread");
        client.ask(id);
        assert_schema(answer(&mut client).1, schema);
    }
}

/// The same server at a path where no registry is.
fn an_address_that_is_no_registry_denies_nothing(registry: &Registry) {
    let access = RegistryAccess {
        url: registry.url().replace("/apis/ccompat/v7", "/apis/nothing"),
        ..access(registry)
    };
    let mut client = RegistryClient::start(access, Telemetry::unwatched()).expect("a thread");
    client.ask(1);
    let reason = waiting(&client);
    assert!(reason.contains("HTTP 404"), "{reason}");
    assert_eq!(client.answers().count(), 0);
}
