//! A name server on loopback that answers as it is told, or not at all.
//!
//! # Source
//! RFC 1035, section 4: messages; RFC 3596: addresses of IPv6.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{net::UdpSocket, task::JoinSet, time::sleep};

use crate::lock::locked;

/// A running name server, by UDP. It ends when it is dropped.
pub struct DnsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

/// What comes back to a question.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Those of these addresses that are of the kind that was asked for, good for no time at all (TTL 0).
    Addresses(Vec<IpAddr>),
    /// The same, after this time.
    Late(Duration, Vec<IpAddr>),
    /// Nothing, ever.
    Silence,
    /// There is no such name.
    NoSuchName,
    /// The server failed.
    Failure,
}

/// A question that came.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Question {
    /// In lower case, without the last dot.
    pub name: String,
    /// 1: A, 28: AAAA.
    pub kind: u16,
}

impl DnsServer {
    /// A server at a free port of loopback that knows no name.
    pub async fn start() -> anyhow::Result<Self> {
        Self::at("127.0.0.1:0").await
    }

    /// The same at `address`: in a network namespace of its own, a test can have port 53.
    pub async fn at(address: &str) -> anyhow::Result<Self> {
        let socket = Arc::new(UdpSocket::bind(address).await.with_context(|| format!("cannot have {address}"))?);
        let shared = Arc::<Shared>::default();
        let (address, mut task) = (socket.local_addr()?, JoinSet::new());
        task.spawn(run(socket, shared.clone()));
        Ok(Self { address, shared, _task: task })
    }

    /// Where it is asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers questions for `name` with `replies`, each kind of question one after the other; the last one for ever.
    pub fn tell(&self, name: &str, replies: impl IntoIterator<Item = Reply>) {
        let replies = replies.into_iter().collect();
        let mut zone = locked(&self.shared.zone);
        zone.replies.insert(name.to_owned(), replies);
        zone.turns.retain(|question, _| question.name != name);
    }

    /// What names get that it was told nothing about; [`Reply::NoSuchName`] at first. A cluster's own names have no
    /// address in the world.
    pub fn tell_others(&self, reply: Reply) {
        locked(&self.shared.zone).others = reply;
    }

    /// All questions so far.
    pub fn questions(&self) -> Vec<Question> {
        locked(&self.shared.questions).clone()
    }
}

#[derive(Default)]
struct Shared {
    zone: Mutex<Zone>,
    questions: Mutex<Vec<Question>>,
}

struct Zone {
    replies: HashMap<String, Vec<Reply>>,
    /// How often a question has come.
    turns: HashMap<Question, usize>,
    others: Reply,
}

impl Default for Zone {
    fn default() -> Self {
        Self { replies: HashMap::new(), turns: HashMap::new(), others: Reply::NoSuchName }
    }
}

impl Zone {
    fn reply(&mut self, question: &Question) -> Reply {
        let Some(replies) = self.replies.get(&question.name) else {
            let cluster = question.name.trim_end_matches('.').ends_with(".cluster.local");
            let has_address = matches!(self.others, Reply::Addresses(_) | Reply::Late(..));
            return if cluster && has_address { Reply::NoSuchName } else { self.others.clone() };
        };
        let turn = self.turns.entry(question.clone()).or_default();
        let reply = replies.get(*turn).or(replies.last()).unwrap_or(&self.others).clone();
        *turn += 1;
        reply
    }
}

async fn run(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let (mut buffer, mut late) = ([0; LONGEST], JoinSet::new());
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else { continue };
        while late.try_join_next().is_some() {}
        let Some(message) = buffer.get(..length).and_then(Message::parse) else { continue };
        locked(&shared.questions).push(message.question.clone());
        let reply = locked(&shared.zone).reply(&message.question);
        let (wait, answer) = match reply {
            Reply::Addresses(addresses) => (Duration::ZERO, message.answer(0, &addresses)),
            Reply::Late(wait, addresses) => (wait, message.answer(0, &addresses)),
            Reply::Failure => (Duration::ZERO, message.answer(2, &[])),
            Reply::NoSuchName => (Duration::ZERO, message.answer(3, &[])),
            Reply::Silence => continue,
        };
        let socket = socket.clone();
        late.spawn(async move {
            sleep(wait).await;
            // Who asked may have gone.
            let _ = socket.send_to(&answer, peer).await;
        });
    }
}

/// A message with one question.
struct Message {
    id: [u8; 2],
    question: Question,
    /// The question's bytes, which an answer repeats.
    raw: Vec<u8>,
}

impl Message {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let id = *bytes.first_chunk()?;
        let raw = bytes.get(HEADER..)?;
        let (mut labels, mut at) = (Vec::new(), 0);
        loop {
            let length = usize::from(*raw.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(std::str::from_utf8(raw.get(at..at + length)?).ok()?.to_ascii_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes(*raw.get(at..)?.first_chunk()?);
        let raw = raw.get(..at + 4)?.to_vec();
        Some(Self { id, question: Question { name: labels.join("."), kind }, raw })
    }

    /// A reply with this code and those of `addresses` that were asked for.
    fn answer(&self, code: u8, addresses: &[IpAddr]) -> Vec<u8> {
        let records: Vec<_> = addresses.iter().filter_map(|address| self.record(address)).collect();
        let count = u16::try_from(records.len()).unwrap_or(u16::MAX).to_be_bytes();
        // Response, recursion desired and available; one question.
        let header = [&self.id[..], &[0x81, 0x80 | code, 0, 1], &count, &[0, 0, 0, 0]].concat();
        [header, self.raw.clone(), records.concat()].concat()
    }

    fn record(&self, address: &IpAddr) -> Option<Vec<u8>> {
        let data = match (address, self.question.kind) {
            (IpAddr::V4(address), 1) => address.octets().to_vec(),
            (IpAddr::V6(address), 28) => address.octets().to_vec(),
            _ => return None,
        };
        let length = u16::try_from(data.len()).ok()?.to_be_bytes();
        // The name is where the question's is; class IN, good for 0 s.
        let start = [&[0xc0, 0x0c][..], &self.question.kind.to_be_bytes(), &[0, 1], &[0; 4], &length].concat();
        Some([start, data].concat())
    }
}

/// Bytes of a message's header.
const HEADER: usize = 12;
/// Bytes of a message that is read.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests;
