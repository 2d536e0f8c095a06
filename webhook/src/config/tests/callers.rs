//! `pullSecrets`: who can prove to be an API server, and what for.

use super::*;

#[test]
fn a_proof_is_an_authority_and_names() {
    let config =
        good("pullSecrets: {clientCAFile: /etc/berth/client-ca.crt, clientNames: [kube-apiserver, api.example]}\n");
    assert!(config.pull_secrets.provable() && !config.pull_secrets.enabled);
    assert_eq!(config.pull_secrets.client_names, ["kube-apiserver", "api.example"]);
    assert!(!good("pullSecrets: {}\n").pull_secrets.provable());
    good("pullSecrets: {enabled: true, clientCAFile: /ca.crt, clientNames: [a]}\n");
}

#[test]
fn either_alone_is_refused() {
    let why = "it is missing: a certificate alone proves nothing, as every kubelet has one of the cluster's; \
               give both `clientCAFile` and `clientNames`";
    bad("pullSecrets: {clientCAFile: /ca.crt}\n", &format!("c.yaml:3: pullSecrets.clientNames: {why}"));
    bad(
        "pullSecrets: {clientCAFile: /ca.crt, clientNames: []}\n",
        &format!("c.yaml:3: pullSecrets.clientNames: {why}"),
    );
    bad("pullSecrets: {clientNames: [a]}\n", &format!("c.yaml:3: pullSecrets.clientCAFile: {why}"));
    bad(
        "pullSecrets: {enabled: true}\n",
        "c.yaml:3: pullSecrets.enabled: pull secrets are used only for proven callers: give `clientCAFile` and `clientNames`",
    );
}

#[test]
fn a_name_is_compared_exactly() {
    let exact = "the common name, a DNS name or a URI of the certificate, compared exactly";
    for (written, quoted) in [("'*'", "`*`"), ("'*.example'", "`*.example`")] {
        bad(
            &format!("pullSecrets: {{clientCAFile: /ca.crt, clientNames: [a, {written}]}}\n"),
            &format!("c.yaml:3: pullSecrets.clientNames[1]: {quoted} is no name: {exact}"),
        );
    }
}

#[test]
fn an_authority_that_vouches_for_nobody_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, path) = (folder.path().join("ca.crt"), folder.path().join("berth.yaml"));
    let body = format!("pullSecrets: {{clientCAFile: {}, clientNames: [a]}}\n", authority.display());
    std::fs::write(&path, file(&body)).unwrap();
    let now = std::time::SystemTime::now();
    let good = berth_cert_manager::Authority::issue("clients", now, Duration::from_secs(60)).unwrap();
    let leaf = good.issue_leaf(&["a".to_owned()], now, Duration::from_secs(60)).unwrap();
    std::fs::write(&authority, good.certificate_pem()).unwrap();
    load(&path).unwrap();
    std::fs::write(&authority, leaf.certificate_pem).unwrap();
    let error = load(&path).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "{}:3: pullSecrets.clientCAFile: `{}` holds no certificate authority in PEM that is valid at this time",
            path.display(),
            authority.display()
        )
    );
}
