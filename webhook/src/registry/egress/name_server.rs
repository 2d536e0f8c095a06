//! A name server on loopback that answers as a test says, and tells what it was asked.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use hickory_resolver::{
    Hosts,
    config::{NameServerConfig, ResolverConfig, ResolverOpts},
    proto::{
        op::{Message, MessageType, OpCode, ResponseCode},
        rr::{Name, RData, Record, RecordType},
    },
};
use tokio::{net::UdpSocket, task::JoinSet, time};

use super::Names;

/// A server that ends with its test.
pub(in crate::registry) struct NameServer {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<io::Result<()>>,
}

/// What it says about a name.
#[derive(Clone, Copy, Debug)]
pub(in crate::registry) enum Says {
    /// These addresses, as far as they are of the family that was asked for.
    Addresses(&'static [&'static str]),
    /// These, but only after a moment.
    Slowly(&'static [&'static str]),
    /// It does not exist.
    Nobody,
    /// That it failed.
    Failed,
    /// That it does not answer such questions.
    Refused,
    /// Nothing at all.
    Nothing,
}

impl NameServer {
    /// A server that answers each question, such as `ghcr.io. AAAA`, as `answer` says. Nothing may be remembered.
    pub(in crate::registry) async fn answering(answer: impl Fn(&str) -> Says + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await?;
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let query = &question.queries[0];
                let text = format!("{} {}", query.name(), query.query_type());
                log.lock().unwrap().push(text.clone());
                let says = answer(&text);
                if matches!(says, Says::Slowly(_)) {
                    time::sleep(Duration::from_millis(20)).await;
                }
                if let Some(reply) = reply(&question, says) {
                    socket.send_to(&reply.to_vec().unwrap(), peer).await?;
                }
            }
        });
        Self { port, asked, _task: task }
    }

    /// Look-ups by this server, within half a second, and by `/etc/hosts` as it is given.
    pub(in crate::registry) fn names(&self, search: &[&str], ndots: usize, hosts: &str) -> Arc<Names> {
        self.names_within(Duration::from_millis(500), search, ndots, hosts)
    }

    /// The same, within `limit`.
    pub(in crate::registry) fn names_within(
        &self,
        limit: Duration,
        search: &[&str],
        ndots: usize,
        hosts: &str,
    ) -> Arc<Names> {
        let mut server = NameServerConfig::udp(Ipv4Addr::LOCALHOST.into());
        server.connections[0].port = self.port;
        let search = search.iter().map(|domain| Name::from_ascii(domain).unwrap()).collect();
        let config = ResolverConfig::from_parts(None, search, vec![server]);
        let mut options = ResolverOpts::default();
        options.ndots = ndots;
        let mut known = Hosts::default();
        known.read_hosts_conf(hosts.as_bytes()).unwrap();
        Arc::new(Names::new(&config, options, known, limit))
    }

    /// The questions so far, sorted, because both families are asked for at once.
    pub(in crate::registry) fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked
    }
}

fn reply(question: &Message, says: Says) -> Option<Message> {
    let query = question.queries[0].clone();
    let mut reply = Message::response(question.metadata.id, OpCode::Query);
    reply.metadata.message_type = MessageType::Response;
    match says {
        Says::Nothing => return None,
        Says::Nobody => reply.metadata.response_code = ResponseCode::NXDomain,
        Says::Failed => reply.metadata.response_code = ResponseCode::ServFail,
        Says::Refused => reply.metadata.response_code = ResponseCode::Refused,
        Says::Addresses(texts) | Says::Slowly(texts) => {
            for text in texts {
                let address: IpAddr = text.parse().unwrap();
                if address.is_ipv6() == (query.query_type() == RecordType::AAAA) {
                    reply.add_answer(Record::from_rdata(query.name().clone(), 0, RData::from(address)));
                }
            }
        }
    }
    reply.add_query(query);
    Some(reply)
}
