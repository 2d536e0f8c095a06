//! Values that make no sense are refused before anything is rendered, in words that say where.

use berth_tests::{
    helm::Helm,
    manifests::{SYSTEM, path, template},
    processes::Folder,
};

#[tokio::test]
async fn bad_values_are_refused_with_their_place() {
    for (flag, words) in [
        ("--set=replicas=3", "additional properties 'replicas' not allowed"),
        ("--set=enabled=perhaps", "at '/enabled': got string, want boolean"),
        ("--set=webhook.replica=3", "at '/webhook': additional properties 'replica' not allowed"),
        ("--set=webhook.replicas=0", "at '/webhook/replicas': minimum: got 0, want 1"),
        ("--set=webhook.replicas=two", "at '/webhook/replicas': got string, want integer"),
        ("--set=controller.replicas=null", "at '/controller': missing property 'replicas'"),
        ("--set=image.repository=", "at '/image/repository'"),
        ("--set=image.repository=berth:1", "at '/image/repository'"),
        ("--set=image.repository=registry.example/berth:1", "at '/image/repository'"),
        ("--set=image.digest=sha256:abc", "at '/image/digest'"),
        ("--set=image.pullPolicy=always", "at '/image/pullPolicy': value must be one of '', 'Always'"),
        ("--set-json=imagePullSecrets=[\"harbor\"]", "at '/imagePullSecrets/0': got string, want object"),
        ("--set=configuration=production", "at '/configuration': got string, want object"),
        ("--set=configuration.kind=Berth", "at '/configuration/kind': value must be 'Configuration'"),
        ("--set=configuration.pullSecrets=yes", "at '/configuration/pullSecrets': got string, want"),
        ("--set=configuration.profile=prod", "at '/configuration/profile': value must be one of 'production', 'dev'"),
        ("--set=webhook.nodeSelector.pool=3", "at '/webhook/nodeSelector/pool': got number, want string"),
        (
            "--set-json=webhook.spread=[{\"topologyKey\":\"zone\"}]",
            "at '/webhook/spread/0': missing property 'whenUnsatisfiable'",
        ),
        ("--set=webhook.resources.cpu=1", "at '/webhook/resources': additional properties 'cpu' not allowed"),
        ("--set=networkPolicy.enabled=yes", "at '/networkPolicy/enabled': got string, want boolean"),
        ("--set-json=networkPolicy.metricsFrom=[]", "at '/networkPolicy/metricsFrom': minItems: got 0, want 1"),
        ("--set=certManager.issuerRef.kind=Issuer", "at '/certManager/issuerRef'"),
    ] {
        check(SYSTEM, flag, words).await;
    }
}

/// Its own namespace is the one in which Berth does nothing.
#[tokio::test]
async fn the_namespace_that_everybody_uses_is_refused() {
    for namespace in ["default", "kube-system", "kube-public", "2026", "1e3", "0x10", "y", "on", "true", "null"] {
        check(namespace, "--set=webhook.replicas=2", "add --namespace berth-system --create-namespace").await;
    }
}

#[tokio::test]
async fn an_image_may_be_anywhere_and_a_namespace_may_begin_with_a_digit() {
    for repository in ["berth", "team/berth", "localhost:5000/berth", "reg.example/a/b", "Reg.Example:443/a_b/c-d/e.f"]
    {
        let flag = format!("--set=image.repository={repository}");
        let output = template("2026-11-22", &[&flag]).await.unwrap();
        assert!(output.status.success(), "{repository}: {}", String::from_utf8_lossy(&output.stderr));
        let rendered = String::from_utf8(output.stdout).unwrap();
        assert!(rendered.contains(&format!("image: {repository}:")), "{repository}: {rendered}");
    }
}

/// Such a chart says in its dependencies: `condition: berth.enabled`.
#[tokio::test]
async fn a_chart_above_can_take_berth_in_or_leave_it_out() {
    let folder = Folder::for_data("umbrella").unwrap();
    std::fs::create_dir(folder.path().join("charts")).unwrap();
    std::os::unix::fs::symlink(path("chart").canonicalize().unwrap(), folder.path().join("charts/berth")).unwrap();
    let chart = "apiVersion: v2\nname: umbrella\nversion: 1.0.0\ndependencies:\n  \
                 - {name: berth, version: '*', condition: berth.enabled}\n";
    folder.write("Chart.yaml", chart).unwrap();
    for (enabled, renders) in [(true, true), (false, false)] {
        let values = format!("--set=berth.enabled={enabled}");
        let arguments = ["template", "any", folder.path().to_str().unwrap(), "--namespace", SYSTEM, &values];
        let output = Helm::new().await.unwrap().run(&arguments, None).await.unwrap();
        assert!(output.status.success(), "{enabled}: {}", String::from_utf8_lossy(&output.stderr));
        let rendered = String::from_utf8(output.stdout).unwrap();
        assert_eq!(rendered.contains("kind: Deployment"), renders, "{enabled}: {rendered}");
    }
}

async fn check(namespace: &str, flag: &str, words: &str) {
    let output = template(namespace, &[flag]).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{flag} is taken");
    assert!(said.contains(words), "{flag}: {said}");
    assert!(output.stdout.is_empty(), "{flag}: {}", String::from_utf8_lossy(&output.stdout));
}
