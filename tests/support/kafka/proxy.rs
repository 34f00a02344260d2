//! A network between clients and a broker that can be slow, and that can break at a chosen request.
//!
//! It passes Kafka's frames on as they are: four bytes of length, then for a request the number of
//! its kind. A broker tells its clients to reach it here (`--behind`), so that nothing goes past it.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// Numbers of kinds of requests in Kafka's protocol.
pub const INIT_PRODUCER_ID: i16 = 22;
pub const ADD_OFFSETS_TO_TXN: i16 = 25;
pub const END_TXN: i16 = 26;

const CONCURRENT_TRANSACTIONS: [u8; 2] = 51i16.to_be_bytes();
const FRAME_BYTES_MAX: usize = 128 << 20;

pub struct Proxy {
    address: SocketAddr,
    network: Arc<Mutex<Network>>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The network breaks, and the broker never sees it.
    Lost,
    /// The broker gets it, the network breaks before its answer.
    Unanswered,
    /// Its answer is late by this.
    Answered(Duration),
    /// The broker does as it is asked, its answer says that another operation on the same transaction
    /// is still going on; this is where its error stands, in bytes from the length on.
    Concurrent { error_at: usize },
}

#[derive(Default)]
struct Network {
    broker: Option<String>,
    /// By how much every answer is late.
    delay: Duration,
    /// By kind of request: of the next one, or of all with [`Fate::Concurrent`].
    struck: BTreeMap<i16, Fate>,
    /// How many requests have had a fate of their own.
    strikes: usize,
    is_broken: bool,
}

impl Proxy {
    pub fn bind() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let network = Arc::new(Mutex::new(Network::default()));
        let shared = Arc::clone(&network);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let network = Arc::clone(&shared);
                thread::spawn(move || pass_on(client, &network));
            }
        });
        Proxy { address, network }
    }

    pub fn leads_to(&self, broker: &str) {
        self.network().broker = Some(broker.to_owned());
    }

    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on every answer is late by `delay`.
    pub fn set_delay(&self, delay: Duration) {
        self.network().delay = delay;
    }

    /// The next request of a kind has this fate; with [`Fate::Concurrent`] all have it.
    pub fn strike(&self, kind: i16, fate: Fate) {
        self.network().struck.insert(kind, fate);
    }

    /// Passes on again, as it was before any strike.
    pub fn mend(&self) {
        let mut network = self.network();
        network.is_broken = false;
        network.struck.clear();
    }

    /// How many requests have had a fate of their own.
    pub fn strikes(&self) -> usize {
        self.network().strikes
    }

    fn network(&self) -> MutexGuard<'_, Network> {
        locked(&self.network)
    }
}

fn locked(network: &Mutex<Network>) -> MutexGuard<'_, Network> {
    network.lock().expect("no thread of it panics")
}

/// One connection, until either side ends it.
fn pass_on(mut client: TcpStream, network: &Arc<Mutex<Network>>) {
    let (broker, is_broken) = {
        let network = locked(network);
        (network.broker.clone(), network.is_broken)
    };
    let Some(Ok(mut broker)) = broker.filter(|_| !is_broken).map(TcpStream::connect) else {
        return;
    };
    let (Ok(answers), Ok(to_client)) = (broker.try_clone(), client.try_clone()) else {
        return;
    };
    // Answers come in the order of requests: each is sent on once it is due.
    let (fates, of_answers) = channel();
    let shared = Arc::clone(network);
    thread::spawn(move || answer(answers, to_client, &shared, &of_answers));
    while let Ok(frame) = read_frame(&mut client) {
        let fate = fate_of(&frame, network);
        let is_passed_on = match fate {
            Fate::Answered(_) | Fate::Concurrent { .. } => {
                fates.send(fate).is_ok() && broker.write_all(&frame).is_ok()
            }
            Fate::Unanswered => {
                let _ = client.shutdown(Shutdown::Both);
                let _ = broker.write_all(&frame);
                // The broker must read it before it sees that its client is gone.
                thread::sleep(Duration::from_millis(500));
                false
            }
            Fate::Lost => false,
        };
        if !is_passed_on {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = broker.shutdown(Shutdown::Both);
}

fn answer(
    mut broker: TcpStream,
    mut client: TcpStream,
    network: &Mutex<Network>,
    fates: &Receiver<Fate>,
) {
    let (frames, due) = channel::<(Instant, Vec<u8>)>();
    let sender = thread::spawn(move || {
        for (at, frame) in due {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if client.write_all(&frame).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
    });
    while let (Ok(mut frame), Ok(fate)) = (read_frame(&mut broker), fates.recv()) {
        let mut late = locked(network).delay;
        match fate {
            Fate::Answered(more) => late += more,
            Fate::Concurrent { error_at } => {
                frame[error_at..error_at + 2].copy_from_slice(&CONCURRENT_TRANSACTIONS);
            }
            Fate::Lost | Fate::Unanswered => {}
        }
        if frames.send((Instant::now() + late, frame)).is_err() {
            break;
        }
    }
    drop(frames);
    let _ = sender.join();
    let _ = broker.shutdown(Shutdown::Both);
}

fn fate_of(request: &[u8], network: &Mutex<Network>) -> Fate {
    let mut network = locked(network);
    if network.is_broken {
        return Fate::Lost;
    }
    let kind = request.get(4..).and_then(<[u8]>::first_chunk);
    let kind = kind.map_or(-1, |bytes| i16::from_be_bytes(*bytes));
    let Some(fate) = network.struck.get(&kind).copied() else {
        return Fate::Answered(Duration::ZERO);
    };
    network.strikes += 1;
    network.is_broken = matches!(fate, Fate::Lost | Fate::Unanswered);
    if !matches!(fate, Fate::Concurrent { .. }) {
        network.struck.remove(&kind);
    }
    fate
}

/// A frame with its length before it.
fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let size = u32::from_be_bytes(length) as usize;
    if size > FRAME_BYTES_MAX {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut frame = length.to_vec();
    frame.resize(4 + size, 0);
    stream.read_exact(&mut frame[4..])?;
    Ok(frame)
}
