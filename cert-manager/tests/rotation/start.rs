//! Many start together, and nothing is there yet.

use berth_cert_manager::Settings;

use crate::{door::Weather, peers::Replica, simulation::Simulation};

#[tokio::test]
async fn ten_start_together_and_there_is_one_authority() {
    for seed in 0..50 {
        let weather = Weather { conflicts: 30, failures: 10 };
        let mut simulation = Simulation::new(Settings::berth("berth-system"), seed, 10, weather);
        simulation.replicas = (0..10).map(|_| Replica::late(0)).collect();
        let took = simulation.settle().await;
        assert_eq!(simulation.authorities.len(), 1, "seed {seed}");
        assert_eq!(simulation.leaves, 1, "seed {seed}");
        assert!(simulation.is_served().await, "seed {seed}");
        assert!(took.as_secs() <= 60, "seed {seed}: {took:?}");
    }
}

#[tokio::test]
async fn without_configurations_there_is_a_certificate_and_no_configuration() {
    let mut simulation = Simulation::new(Settings::berth("berth-system"), 1, 2, Weather::default());
    for name in simulation.settings.configurations.clone() {
        simulation.fake.delete_configuration(&name);
    }
    simulation.settle().await;
    assert!(simulation.is_served().await);
    assert!(simulation.nothing_is_configured().await, "nobody makes a configuration");
}
