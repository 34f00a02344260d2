//! Which instance serves a partition that is not served here.
//!
//! The group is asked, at most once at a time and every few seconds, on a thread where waiting
//! disturbs nobody; everyone else is answered from what it said last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long an answer of the group is believed.
pub const BELIEVED: Duration = Duration::from_secs(3);
/// How long a client waits for the group.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the group: the address (`HOST:PORT`) of each partition's instance, as far as it is told.
pub type Ask = dyn Fn() -> Result<BTreeMap<u16, String>, String> + Send + Sync;

pub struct Owners {
    /// `http.advertised` of this instance.
    own: Option<String>,
    ask: Arc<Ask>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    owners: BTreeMap<u16, String>,
    at: Option<Instant>,
}

impl Owners {
    pub fn new(
        own: Option<String>,
        ask: impl Fn() -> Result<BTreeMap<u16, String>, String> + Send + Sync + 'static,
    ) -> Owners {
        Owners {
            own,
            ask: Arc::new(ask),
            known: Arc::default(),
        }
    }

    /// The address of another instance that serves `partition`; None: it is not known.
    pub async fn of(&self, partition: u16) -> Option<String> {
        let known = Arc::clone(&self.known).lock_owned();
        let mut known = timeout(PATIENCE, known).await.ok()?;
        if known.at.is_none_or(|at| at.elapsed() >= BELIEVED) {
            let ask = Arc::clone(&self.ask);
            // Goes on without whoever waits for it: the next one finds the answer.
            let asking = spawn_blocking(move || {
                match ask() {
                    Ok(owners) => known.owners = owners,
                    Err(error) => {
                        tracing::warn!(event = "owners_unknown", "{error}");
                        known.owners.clear();
                    }
                }
                known.at = Some(Instant::now());
                known
            });
            known = timeout(PATIENCE, asking).await.ok()?.ok()?;
        }
        let owner = known.owners.get(&partition)?;
        (Some(owner) != self.own.as_ref()).then(|| owner.clone())
    }
}
