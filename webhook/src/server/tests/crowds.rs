//! A port that is full of connections that have all sent something.

use http_body_util::Full;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{
    reviews::{post, review},
    *,
};

/// A port for so many connections, without TLS.
async fn port(connections: usize, tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (router, _) = reviews::reviews(&Arc::default());
    let port = Port { name: "review", listener, tls: None, router, connections };
    tasks.spawn(port.serve(Arc::default(), CancellationToken::new(), Pauses::REVIEWS));
    address
}

/// How many of them are still open.
async fn open(clients: &mut [TcpStream]) -> usize {
    let mut open = 0;
    for client in clients {
        let ended = time::timeout(seconds(0.1), client.read(&mut [0])).await;
        open += usize::from(ended.is_err());
    }
    open
}

/// An attacker can send what is no review, and also what is one.
#[tokio::test]
async fn whatever_they_have_sent_there_are_never_more_than_the_port_takes() {
    let (mut tasks, good) = (JoinSet::new(), review("good"));
    for body in ["{}", &good] {
        let address = port(8, &mut tasks).await;
        let mut idle = Vec::new();
        for _ in 0..40 {
            let mut client = TcpStream::connect(address).await.unwrap();
            let answer = exchange(&mut client, &post("/mutate", body)).await;
            assert!(answer.is_some(), "whoever comes is served");
            idle.push(client);
        }
        let open = open(&mut idle).await;
        assert!((1..=8).contains(&open), "{open} are open that have sent {body}");
    }
}

#[tokio::test]
async fn who_has_sent_no_review_goes_before_whoever_has() {
    let mut tasks = JoinSet::new();
    let address = port(8, &mut tasks).await;
    let mut honest = TcpStream::connect(address).await.unwrap();
    exchange(&mut honest, &post("/mutate", &review("good"))).await.unwrap();
    let mut others = Vec::new();
    for _ in 0..40 {
        let mut client = TcpStream::connect(address).await.unwrap();
        exchange(&mut client, &post("/mutate", "{}")).await.unwrap();
        others.push(client);
    }
    assert!(exchange(&mut honest, &post("/mutate", &review("again"))).await.is_some());
}

#[tokio::test]
async fn of_those_that_are_proven_the_one_goes_that_was_idle_for_longest() {
    let mut tasks = JoinSet::new();
    let address = port(4, &mut tasks).await;
    let mut regulars = Vec::new();
    for _ in 0..4 {
        let mut client = TcpStream::connect(address).await.unwrap();
        exchange(&mut client, &post("/mutate", &review("good"))).await.unwrap();
        regulars.push(client);
    }
    exchange(&mut regulars[0], &post("/mutate", &review("again"))).await.unwrap();
    let mut late = TcpStream::connect(address).await.unwrap();
    assert!(exchange(&mut late, &post("/mutate", &review("late"))).await.is_some());
    for (at, wanted) in [(1, false), (0, true), (2, true), (3, true)] {
        let answer = exchange(&mut regulars[at], &post("/mutate", &review("good"))).await;
        assert_eq!(answer.is_some(), wanted, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_an_answer_gets_it_and_then_the_next_one_comes() {
    let mut tasks = JoinSet::new();
    let address = port(2, &mut tasks).await;
    let begun = Instant::now();
    let slow = async |_| {
        let mut client = TcpStream::connect(address).await.unwrap();
        exchange(&mut client, &post("/mutate", &review("slow"))).await.map(|_| client)
    };
    let late = async {
        time::sleep(seconds(1.0)).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        exchange(&mut client, &post("/mutate", &review("late"))).await.map(|_| begun.elapsed())
    };
    let (first, second, late) = tokio::join!(slow(1), slow(2), late);
    assert!(first.is_some() && second.is_some(), "{first:?} {second:?}");
    let late = late.expect("served in the end");
    assert!(late >= seconds(2.0) && late < seconds(3.0), "{late:?}");
}

/// Such a connection has no end of its own as long as its pings are answered.
#[tokio::test(start_paused = true)]
async fn http2_is_idle_when_the_last_of_its_requests_is_answered_or_given_up() {
    let (client, server) = tokio::io::duplex(1 << 16);
    let (mut tasks, pace) = (JoinSet::new(), Arc::new(Pace::new(Instant::now())));
    let (its_pace, (router, _)) = (pace.clone(), reviews::reviews(&Arc::default()));
    tasks.spawn(async move {
        let stop = CancellationToken::new();
        connection::serve(server, Protocol::Http2, Peer::default(), router, its_pace, stop).await.unwrap();
    });
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
    tasks.spawn(async move { drop(connection.await) });

    let (slow, quick) = (ask(&mut sender, "slow"), ask(&mut sender, "good"));
    let (quick, given_up) = tokio::join!(quick, time::timeout(seconds(1.0), slow));
    assert!(quick && given_up.is_err());
    time::sleep(seconds(0.1)).await;
    assert!(pace.idle_since().is_some(), "nobody waits any more");

    let slow = ask(&mut sender, "slow");
    let look = async {
        time::sleep(seconds(1.0)).await;
        pace.idle_since()
    };
    let quick = ask(&mut sender, "good");
    let (slow, quick, busy) = tokio::join!(slow, quick, look);
    assert!(slow && quick);
    assert_eq!(busy, None, "one of two is not answered");
    time::sleep(seconds(0.1)).await;
    let idle = pace.idle_since().expect("both are answered");
    assert!(idle.elapsed() < seconds(1.0), "{:?}", idle.elapsed());
}

/// Sends a review on this connection; the answer says whether it was answered.
fn ask(sender: &mut SendRequest<Full<bytes::Bytes>>, uid: &str) -> impl Future<Output = bool> + use<> {
    let request = http::Request::post("http://localhost/mutate").header("content-type", "application/json");
    let answer = sender.send_request(request.body(review(uid).into()).unwrap());
    async move { answer.await.unwrap().status().is_success() }
}
