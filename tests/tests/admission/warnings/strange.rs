//! The largest workloads, those that the API server refuses, and bytes from anybody.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;

use super::*;

#[tokio::test]
async fn the_largest_and_the_strangest_workloads_are_answered() {
    let world = world().await;
    let namespace = world.namespace("strange").await;
    // 2.4 MiB, as Go writes it; in an update twice.
    let mut large = deployment("gone", "Always");
    large["spec"]["replicas"] = json!(0);
    large["spec"]["template"]["metadata"]["annotations"] = json!({"a": "<".repeat(100_000)});
    large["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "X", "value": "<&>".repeat(100_000)}]);
    let create = ["create", "-f", "-"];
    let (_, said) = namespace.kubectl(&create, &large.to_string()).await;
    assert_eq!(warnings(&said).len(), 1, "{said}");
    large["spec"]["template"]["spec"]["containers"][0]["image"] = json!("gone:latest");
    let replace = ["-n", namespace.name, "replace", "-f", "-"];
    let replaced = until("nobody else has changed it meanwhile", LIMIT, async || {
        let output = namespace.cluster.kubectl(&replace, &large.to_string()).await?;
        let said = String::from_utf8(output.stderr)?;
        ensure!(output.status.success(), "{said}");
        Ok(said)
    });
    let said = replaced.await.unwrap();
    assert_eq!(warnings(&said).len(), 1, "{said}");

    // What the API server refuses, or drops, is its own.
    for (path, value, words) in [
        ("/spec/template", Value::Null, "is invalid"),
        ("/spec/template/spec/containers", json!("x"), "cannot be handled"),
        ("/spec/template/spec/containers", json!([]), "is invalid"),
        ("/spec/template/spec/containers/0/image", json!(7), "cannot be handled"),
    ] {
        let mut broken = deployment("gone", "Always");
        broken["metadata"]["name"] = json!("broken");
        *broken.pointer_mut(path).unwrap() = value;
        let arguments = ["-n", namespace.name, "create", "--validate=false", "-f", "-"];
        let output = namespace.cluster.kubectl(&arguments, &broken.to_string()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(words) && !said.contains("berth"), "{path}: {said}");
    }
    let mut unknown = deployment("gone", "Always");
    unknown["metadata"]["name"] = json!("unknown");
    unknown["spec"]["template"]["spec"]["future"] = json!({"a": [1]});
    let (_, said) = namespace.kubectl(&["create", "--validate=ignore", "-f", "-"], &unknown.to_string()).await;
    assert!(warnings(&said)[0].starts_with("berth: unknown: main: not pinned"), "{said}");
}

/// Anybody reaches the port, and any bytes arrive there: none is refused but what is no review.
#[tokio::test]
async fn strangers_at_the_port_are_answered() {
    let world = world().await;
    let namespace = world.namespace("forged").await;
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(world.cluster.client().await.unwrap());
    let webhook = configurations.get("zz-berth-world").await.unwrap().webhooks.unwrap().remove(0);
    let (url, bundle) = (webhook.client_config.url.unwrap(), webhook.client_config.ca_bundle.unwrap());
    assert!(url.ends_with("/warn"), "{url}");
    let client = reqwest::Client::builder().tls_certs_only([reqwest::Certificate::from_pem(&bundle.0).unwrap()]);
    let client = client.build().unwrap();
    let containers: Vec<_> = (0..50_000).map(|number| json!({"name": number.to_string(), "image": "A b"})).collect();
    let template = json!({"spec": {"containers": containers}});
    let resource = json!({"group": "apps", "version": "v1", "resource": "deployments"});
    let pods = json!({"group": "", "version": "v1", "resource": "pods"});
    let review = |operation: &str, resource: &Value, object: &Value| {
        let request = json!({
            "uid": "u", "operation": operation, "namespace": "forged", "resource": resource, "object": object,
        });
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).to_string()
    };
    let crowd = review("CREATE", &resource, &json!({"spec": {"template": template}}));
    for (body, status) in [
        (String::new(), 400),
        ("[".repeat(3_000_000), 400),
        (crowd.replace("\"uid\":\"u\"", "\"uid\":\"\""), 400),
        (crowd, 200),
        (review("CREATE", &resource, &Value::Null), 200),
        (review("DELETE", &resource, &Value::Null), 200),
        (review("CREATE", &pods, &pod("web", "gone")), 200),
        (review("CREATE", &resource, &json!({"spec": {"template": "x"}})), 200),
        (review("CREATE", &resource, &json!({"metadata": {"name": "x".repeat(1 << 20)}, "spec": {}})), 200),
    ] {
        let start: String = body.chars().take(300).collect();
        let request = client.post(&url).header("content-type", "application/json").body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{start}");
        assert_eq!(answer.headers().get("retry-after"), None);
        if status == 200 {
            let text = answer.text().await.unwrap();
            let answer: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(answer["response"]["allowed"], true, "{start}");
            assert!(text.len() < 4_096, "{start}: {text}");
        }
    }
    assert_eq!(image(&namespace.dry_run(&pod("web", "nginx")).await).split('@').next(), Some("nginx"));
}
