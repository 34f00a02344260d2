//! Kinds of errors that the error table of `engine.md` 3 tells apart.

use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys::rd_kafka_resp_err_t as code;

use crate::telemetry::labels::ErrorClass;

/// Another producer has this identity, or the transaction was open for too long.
pub fn is_fenced(found: code) -> bool {
    matches!(
        found,
        code::RD_KAFKA_RESP_ERR__FENCED
            | code::RD_KAFKA_RESP_ERR_PRODUCER_FENCED
            | code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH
    )
}

/// The group has moved on without this member.
pub fn is_old_member(found: code) -> bool {
    matches!(
        found,
        code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION
            | code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID
            | code::RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH
            | code::RD_KAFKA_RESP_ERR_FENCED_MEMBER_EPOCH
    )
}

/// What an error that a client reports of itself asks for: it goes on by itself, unless it is refused.
pub fn of_client(found: Option<RDKafkaErrorCode>) -> ErrorClass {
    match found {
        Some(
            RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::SSL
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed,
        ) => ErrorClass::Auth,
        _ => ErrorClass::Retriable,
    }
}

/// The broker has forgotten the producer.
pub fn is_unknown_producer(found: code) -> bool {
    matches!(
        found,
        code::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID
            | code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING
    )
}

/// Who we are is not accepted, or may not do this.
pub fn is_denied(found: code) -> bool {
    matches!(
        found,
        code::RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED
            | code::RD_KAFKA_RESP_ERR__AUTHENTICATION
            | code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
            | code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED
            | code::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED
            | code::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    )
}
