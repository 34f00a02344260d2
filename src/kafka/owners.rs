//! Who serves a partition: members of the group say in their client id where they are reached.

use std::collections::BTreeMap;

use super::client;
use super::cluster::{Cluster, ClusterError};

impl Cluster {
    /// Where the owner of each partition of `topic` is reached, of those that say so: members of the
    /// group `application`.
    pub fn owners(
        &self,
        application: &str,
        topic: &str,
    ) -> Result<BTreeMap<u16, String>, ClusterError> {
        let group = self.group(application)?;
        let members = group.map_or(Vec::new(), |group| group.members);
        let mut owners = BTreeMap::new();
        for member in &members {
            let Some(address) = client::advertised(&member.client_id) else {
                continue;
            };
            let of_topic = member.assigned.iter().filter(|(name, _)| name == topic);
            let partitions = of_topic.filter_map(|(_, number)| u16::try_from(*number).ok());
            owners.extend(partitions.map(|number| (number, address.to_owned())));
        }
        Ok(owners)
    }
}
