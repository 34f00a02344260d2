//! A topic that a command is about to write to: whether it is there, whether it may be written, and
//! how many partitions it has.

use rdkafka::error::RDKafkaErrorCode;

use crate::kafka::cluster::{Cluster, is_refusal};

use super::failure::Failure;

/// How many partitions `topic` has.
///
/// # Errors
///
/// 4: it is not there; 6: it may not be written.
pub fn partitions(cluster: &Cluster, topic: &str) -> Result<u16, Failure> {
    let refused = |right: &str| {
        Failure::new(
            6,
            format!(
                "topic {topic}: access is refused: the user of [kafka] needs the right {right}"
            ),
        )
    };
    match cluster.describe(&[topic])?.into_iter().next() {
        Some(Ok(found)) if !found.can_write => Err(refused("Write")),
        Some(Ok(found)) => u16::try_from(found.partitions.len()).map_err(|_| {
            let count = found.partitions.len();
            Failure::invalid(format!(
                "topic {topic}: {count} partitions are more than 65535"
            ))
        }),
        Some(Err(code)) if is_refusal(code) => Err(refused("Describe")),
        None | Some(Err(RDKafkaErrorCode::UnknownTopicOrPartition)) => {
            Err(Failure::invalid(format!(
                "topic {topic}: is not there; make it with meterfold topics create, or name another"
            )))
        }
        Some(Err(code)) => Err(Failure::failed(format!(
            "topic {topic}: cannot be described: {code}; try again"
        ))),
    }
}
