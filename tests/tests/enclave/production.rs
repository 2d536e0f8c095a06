//! Situations 6 and 7: a registry inside the cluster, and Harbor, with the configurations that the README shows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use berth_tests::{
    cluster::Node,
    enclave::inside,
    registry::{self, Registry},
};
use tokio::{net::TcpListener, task::JoinSet};

use crate::town::{Town, at, image, notes, plain, tls};

/// The tests, by name.
pub(crate) const ALL: &[(&str, fn())] = &[
    ("production::a_registry_inside_the_cluster_serves_every_node_and_no_stranger_does", internal_registry),
    ("production::harbor_serves_what_it_has_and_the_source_the_rest", harbor),
    ("production::a_cache_that_pulls_through_is_asked_for_what_the_source_has_now", pull_through),
];

/// Situation 6: one node lists an old import of the name, and at Docker Hub it is a stranger's.
fn internal_registry() {
    inside(async |_| {
        let registry = plain("10.96.0.50:5000").await;
        let imported = Node::new("node-a").image(&["docker.io/library/easy-kanban:latest"]);
        let pulled = Node::new("node-b").image(&["docker.io/library/other:1"]);
        let town = Town::new(INTERNAL_REGISTRY, &[imported, pulled]).await;
        town.dns.tell("registry.kube-system.svc", [at("10.96.0.50")]);
        let stranger = town.hub.push("library/easy-kanban", "latest", "a stranger's").await.unwrap();
        let mut last = String::new();
        for number in 0..3 {
            let ours = registry.push("easy-kanban", "latest", &format!("ours, {number}")).await.unwrap();
            assert!(ours != stranger && ours != last);
            let [with, without] = town.deploy(&format!("kanban-{number}"), "easy-kanban:latest", 2).await;
            assert_eq!(with, vec![format!("localhost:30500/easy-kanban:latest@{ours}"); 2]);
            assert_eq!(without, vec!["easy-kanban:latest"; 2], "without Berth: the old import, and the stranger's");
            last = ours;
        }
        registry.delete("easy-kanban", &last).await.unwrap();
        let denied = town.refused("gone", "easy-kanban:latest").await;
        assert!(denied.contains("no mirror has image easy-kanban:latest"), "{denied}");
        assert!(berths(&town.hub).is_empty(), "the source is never asked: {:?}", berths(&town.hub));
    })
    .unwrap();
}

/// Situation 7: a project of Harbor's that pulls through, and one that holds what was pushed to it.
fn harbor() {
    inside(async |_| {
        let mut town = Town::new("", &[Node::new("node")]).await;
        town.dns.tell("harbor.local", [at("10.20.0.9")]);
        let own =
            registry::Options { address: Some("10.20.0.9:443"), name: Some("harbor.local"), ..tls(&town.authority) };
        let mut harbor = Registry::start_with(&own).await.unwrap();
        let authority = town.cluster.folder().write("harbor-ca.crt", town.authority.certificate()).unwrap();
        town.configure(&HARBOR.replace("/etc/berth/harbor-ca.crt", &authority.display().to_string())).await;

        let nginx = town.hub.push_index("library/nginx", "latest", "nginx").await.unwrap();
        let redis = town.hub.push_index("library/redis", "latest", "redis").await.unwrap();
        assert_eq!(harbor.push_index("dockerhub/library/nginx", "any", "nginx").await.unwrap(), nginx);
        harbor.push("dockerhub/library/nginx", "latest", "an older one").await.unwrap();
        let mirrored = format!("harbor.local/dockerhub/library/nginx:latest@{nginx}");
        let [with, without] = town.deploy("nginx", "nginx:latest", 1).await;
        assert_eq!((with, without), (vec![mirrored.clone()], vec!["nginx:latest".to_owned()]));
        let [with, _] = town.deploy("redis", "redis:latest", 1).await;
        assert_eq!(with, [format!("redis:latest@{redis}")]);

        // A black hole: one bounded wait, the pin that the source gave stays, and the next Pods wait for nothing, but for
        // the few that find out whether it is back.
        harbor.stop();
        let hole = BlackHole::at("10.20.0.9:443").await;
        let began = Instant::now();
        for number in 0..=PODS {
            let pod = town.pod(&format!("down-{number}"), "nginx:latest").await;
            assert_eq!(image(&pod), format!("nginx:latest@{nginx}"), "{}", notes(&pod));
        }
        let (waits, took) = (hole.connections(), began.elapsed());
        assert!((1..=PODS / 3).contains(&waits), "{waits} of {PODS} Pods have waited, in {took:?}");
        drop(hole);
        harbor.restart().await.unwrap();
        town.becomes("nginx:latest", &mirrored).await;
    })
    .unwrap();
}

/// Situation 7 with a cache that pulls through: it may keep an old tag for long, and is asked by digest.
fn pull_through() {
    inside(async |_| {
        let mut town = Town::new("", &[Node::new("node")]).await;
        town.dns.tell("harbor.local", [at("10.20.0.9")]);
        let address = Some("10.20.0.9:443");
        let cache = registry::Options {
            address,
            name: Some("harbor.local"),
            upstream: Some(&town.hub),
            ..tls(&town.authority)
        };
        let cache = Registry::start_with(&cache).await.unwrap();
        let authority = town.cluster.folder().write("harbor-ca.crt", town.authority.certificate()).unwrap();
        let settings = HARBOR.replace("/etc/berth/harbor-ca.crt", &authority.display().to_string());
        town.configure(&settings.replace("harbor.local/dockerhub", "harbor.local")).await;
        for number in 0..3 {
            let nginx = town.hub.push_index("library/nginx", "latest", &format!("nginx {number}")).await.unwrap();
            let pod = town.pod(&format!("web-{number}"), "nginx:latest").await;
            assert_eq!(image(&pod), format!("harbor.local/library/nginx:latest@{nginx}"), "{}", notes(&pod));
        }
        let asked = berths(&cache);
        let by_tag: Vec<_> = asked.iter().filter(|request| request.path.ends_with("/latest")).collect();
        assert!(asked.len() >= 3 && by_tag.is_empty(), "{by_tag:?}");
    })
    .unwrap();
}

/// Accepts connections and never says a word.
struct BlackHole {
    connections: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl BlackHole {
    async fn at(address: &str) -> Self {
        let (listener, connections) = (TcpListener::bind(address).await.unwrap(), Arc::<AtomicUsize>::default());
        let (counted, mut task) = (connections.clone(), JoinSet::new());
        task.spawn(async move {
            let mut held = Vec::new();
            while let Ok(accepted) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                held.push(accepted);
            }
        });
        Self { connections, _task: task }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// What Berth has asked a registry.
fn berths(registry: &Registry) -> Vec<registry::Request> {
    registry.requests().into_iter().filter(|request| request.agent.starts_with("berth/")).collect()
}

/// Pods that are made while Harbor is a black hole.
const PODS: usize = 30;
/// As in the README.
const INTERNAL_REGISTRY: &str = "
mirror:
  rules:
    - source: docker.io/library/easy-kanban
      mirror: localhost:30500/easy-kanban
      resolve: mirror
      fallback: deny
registries:
  - host: localhost:30500
    endpoint: http://registry.kube-system.svc:5000
";
/// As in the README.
const HARBOR: &str = "
mirror:
  rules:
    - source: docker.io
      mirror: harbor.local/dockerhub
registries:
  - host: harbor.local
    caFile: /etc/berth/harbor-ca.crt
";
