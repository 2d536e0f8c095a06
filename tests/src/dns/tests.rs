use std::time::Instant;

use tokio::time::timeout;

use super::*;

/// Asks as a resolver does: with recursion desired and an EDNS record after the question.
async fn ask(server: &DnsServer, name: &str, kind: u16) -> Option<Vec<u8>> {
    let labels = name.split('.').flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat());
    let question = [labels.collect(), vec![0], kind.to_be_bytes().to_vec(), vec![0, 1]].concat();
    let edns = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    let query = [&[0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1][..], &question, &edns].concat();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&query, server.address()).await.unwrap();
    let mut answer = vec![0; LONGEST];
    let length = timeout(Duration::from_millis(400), socket.recv(&mut answer)).await.ok()?.unwrap();
    answer.truncate(length);
    assert_eq!(answer[..2], [0xab, 0xcd]);
    assert_eq!(answer[HEADER..HEADER + question.len()], question);
    Some(answer)
}

fn code(answer: &[u8]) -> u8 {
    answer[3] & 0xf
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn an_answer_has_the_bytes_of_the_rfc() {
    let server = DnsServer::start().await.unwrap();
    server.tell("reg.example", [Reply::Addresses(addresses(&["192.0.2.7", "fd00::7"]))]);
    let answer = ask(&server, "Reg.example", 1).await.unwrap();
    let want = b"\xab\xcd\x81\x80\0\x01\0\x01\0\0\0\0\x03Reg\x07example\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\xc0\0\x02\x07";
    assert_eq!(answer, want);
    let answer = ask(&server, "reg.example", 28).await.unwrap();
    assert!(answer.ends_with(b"\0\x10\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07"));
    let names: Vec<_> = server.questions().into_iter().map(|question| (question.name, question.kind)).collect();
    assert_eq!(names, [("reg.example".to_owned(), 1), ("reg.example".to_owned(), 28)]);
}

#[tokio::test]
async fn replies_take_turns_and_the_last_one_stays() {
    let server = DnsServer::start().await.unwrap();
    let rebinding = ["192.0.2.7", "127.0.0.1"].map(|text| Reply::Addresses(addresses(&[text])));
    server.tell("rebinds.example", rebinding);
    for want in [[192, 0, 2, 7], [127, 0, 0, 1], [127, 0, 0, 1]] {
        assert!(ask(&server, "rebinds.example", 1).await.unwrap().ends_with(&want));
        assert_eq!(code(&ask(&server, "rebinds.example", 28).await.unwrap()), 0, "it has no such address");
    }
}

#[tokio::test]
async fn it_fails_stalls_and_dawdles() {
    let server = DnsServer::start().await.unwrap();
    server.tell("fails.example", [Reply::Failure]);
    server.tell("stalls.example", [Reply::Silence]);
    server.tell("dawdles.example", [Reply::Late(Duration::from_millis(100), addresses(&["192.0.2.7"]))]);
    assert_eq!(code(&ask(&server, "fails.example", 1).await.unwrap()), 2);
    assert_eq!(code(&ask(&server, "unknown.example", 1).await.unwrap()), 3);
    assert_eq!(ask(&server, "stalls.example", 1).await, None);
    let start = Instant::now();
    assert!(ask(&server, "dawdles.example", 1).await.unwrap().ends_with(&[192, 0, 2, 7]));
    assert!(start.elapsed() >= Duration::from_millis(100));
    server.tell_others(Reply::Silence);
    assert_eq!(ask(&server, "unknown.example", 1).await, None);
}
