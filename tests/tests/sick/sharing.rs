//! What many equal questions cost a registry, by its own count.

use std::time::{Duration, Instant};

use berth::{
    image::Reference,
    registry::{Candidates, Question, Resolve as _},
};
use berth_tests::{
    faults::{FaultProxy, Manner},
    registry::{Options, Registry},
    token_server::TokenServer,
};
use futures::future::join_all;

use super::{HOST, LIMIT, admit, bar, berth};

/// A thousand Pods at the same moment cost two requests a round trip, and one token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_pods_at_once_cost_two_requests_a_round_trip() {
    let tokens = TokenServer::start(None, Vec::new(), vec!["*".parse().unwrap()]).await.unwrap();
    let options = Options { tokens: Some(&tokens), ..Options::default() };
    let registry = Registry::start_with(&options).await.unwrap();
    let digest = registry.push("shop/app", "latest", "text").await.unwrap();
    let proxy = FaultProxy::start(registry.endpoint(), None).unwrap();
    let round_trip = Duration::from_millis(100);
    proxy.behave(Manner { delay: round_trip, ..Manner::default() }).await.unwrap();
    let berth =
        berth("pin: { maxAge: 0s }", &[(HOST, &proxy.endpoint()), (&tokens_host(&tokens), &tokens_endpoint(&tokens))]);
    let (image, asked_before, start) = (format!("{HOST}/shop/app"), tokens.requests().len(), Instant::now());
    let pods = join_all((0..1_000).map(|_| admit(&berth, &image, LIMIT))).await;
    let trips = start.elapsed().div_duration_f64(round_trip).ceil();
    assert!(pods.iter().all(|pod| pod.digest.as_ref() == Some(&digest)), "{:?}", pods[0]);
    let heads = registry.count("HEAD", "/v2/shop/app/manifests/latest");
    let asked = tokens.requests().len() - asked_before;
    println!("1000 Pods: {heads} requests in {trips} round trips, {asked} tokens");
    assert!(heads as f64 <= 2.0 * trips, "{heads} requests in {trips} round trips");
    assert_eq!(asked, 1);
}

fn tokens_endpoint(tokens: &TokenServer) -> String {
    tokens.realm().trim_end_matches("/token").to_owned()
}

fn tokens_host(tokens: &TokenServer) -> String {
    tokens_endpoint(tokens).trim_start_matches("http://").to_owned()
}

/// With a `maxAge` a registry hears of each tag once, however often it is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remembered_tags_cost_a_hundredth_of_the_reviews() {
    let registry = Registry::start().await.unwrap();
    let (tags, questions) = (bar(50, 1_000), bar(10_000, 200_000));
    for tag in 0..tags {
        registry.push("shop/app", &format!("v{tag}"), "text").await.unwrap();
    }
    let berth = berth("pin: { maxAge: 5m, tags: ['*'] }", &[(HOST, &registry.endpoint())]);
    let images: Vec<Reference> = (0..tags).map(|tag| format!("{HOST}/shop/app:v{tag}").parse().unwrap()).collect();
    let anonymous = Candidates::anonymous();
    for number in 0..questions {
        let question = Question::new(&images[zipf(number, tags)], &anonymous);
        berth.registry.resolve(&question, Instant::now() + LIMIT).await.unwrap();
    }
    let heads = registry.requests().iter().filter(|request| !request.is_push() && request.method == "HEAD").count();
    println!("{questions} questions about {tags} tags: {heads} requests");
    assert!(heads * 100 <= questions, "{heads} requests for {questions} questions");
    assert!(heads > tags / 4, "the questions are about many tags");
}

/// One of `tags`, the second half as likely as the first, the third a third: the same for the same `number`.
fn zipf(number: usize, tags: usize) -> usize {
    let total: f64 = (1..=tags).map(|rank| 1.0 / rank as f64).sum();
    let chance = (number as f64 * 0.618_033_988_749_895).fract() * total; // spread evenly, in no visible order
    let mut sum = 0.0;
    (1..=tags)
        .position(|rank| {
            sum += 1.0 / rank as f64;
            sum >= chance
        })
        .unwrap_or(tags - 1)
}
