//! What a question leaves behind when it is dropped: nothing.

use std::net::{Ipv4Addr, SocketAddr};

use futures::future;
use tokio::{
    net::{TcpSocket, TcpStream},
    runtime::Handle,
    time::{self, Instant},
};

use super::{server::Server, *};

/// Asks `count` times at `address`, and drops all questions after a moment.
async fn ask_and_drop(address: SocketAddr, count: usize) {
    let upstreams = upstreams(&[entry("hole.example", Some(&format!("http://{address}")))]);
    let upstream = upstreams.of("hole.example").unwrap();
    let ask = |number: usize| upstream.http.head(upstream.endpoint.join(&format!("/v2/t{number}")).unwrap()).send();
    let asked = future::join_all((0..count).map(ask));
    assert!(time::timeout(Duration::from_millis(400), asked).await.is_err(), "the hole answered");
}

/// The connections of this machine to `port` that are open or being opened, in the kernel's words.
fn connections(port: u16) -> usize {
    let remote = format!("0100007F:{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let open = |fields: &[&str]| fields.get(2) == Some(&remote.as_str()) && matches!(fields[3], "01" | "02");
    table.lines().filter(|line| open(&line.split_whitespace().collect::<Vec<_>>())).count()
}

/// Waits until no connection to `port` and no more than `tasks` tasks are left; at most two seconds.
async fn nothing_is_left(port: u16, tasks: usize) {
    let start = Instant::now();
    loop {
        let left = (connections(port), Handle::current().metrics().num_alive_tasks());
        if left.0 == 0 && left.1 <= tasks {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(2), "left after two seconds: {left:?}, tasks before: {tasks}");
        time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn of_a_registry_that_says_nothing() {
    let hole = Server::writing(b"").await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    ask_and_drop(hole.address, 300).await;
    assert!(hole.heads().len() > 100, "{} requests arrived", hole.heads().len());
    nothing_is_left(hole.address.port(), tasks).await;
}

#[tokio::test]
async fn of_a_machine_that_takes_no_connection() {
    // Once the queue of a listener is full, further connections stay half open.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(Ok(stream)) = time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        queue.push(stream);
    }
    let (tasks, before) = (Handle::current().metrics().num_alive_tasks(), connections(address.port()));
    ask_and_drop(address, 300).await;
    drop(queue);
    assert!(before >= 1);
    nothing_is_left(address.port(), tasks).await;
}

#[tokio::test]
async fn a_connection_that_stalls_ends_before_the_question() {
    // TLS that is never answered.
    let hole = Server::writing(b"").await;
    let endpoint = format!("https://{}", hole.address);
    let config = Config { registries: vec![entry("hole.example", Some(&endpoint))], ..Config::default() };
    let upstreams = Upstreams::new(&config).unwrap();
    let upstream = upstreams.of("hole.example").unwrap();
    let start = Instant::now();
    let asked = time::timeout(Duration::from_secs(10), upstream.http.head(upstream.endpoint).send());
    let error = asked.await.expect("the connection is given up").unwrap_err();
    assert_eq!(cause(&error), "no connection in time: see if it is up");
    let took = start.elapsed();
    assert!(Duration::from_millis(900) < took && took < config.limits.registry_timeout, "{took:?}");
}
