//! Certificates from the CNCF project cert-manager: its own schemas take the objects, and Berth takes what it makes of
//! them.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use aws_lc_rs::{
    encoding::{AsDer, EcPrivateKeyRfc5915Der},
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use berth_cert_manager::{Error, Served};
use berth_tests::{
    cluster::{Cluster, Options},
    manifests::{SYSTEM, kustomized, objects, templated},
    programs::sources::cert_manager_schemas,
    wait::until,
};
use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};

use super::LIMIT;

#[tokio::test]
async fn its_schemas_take_the_objects() {
    let options = Options { only_api_server: true, ..Options::default() };
    let cluster = Cluster::start_with(&options).await.unwrap();
    for entry in fs::read_dir(cert_manager_schemas().await.unwrap()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            apply(&cluster, &fs::read_to_string(path).unwrap(), &[]).await.unwrap();
        }
    }
    cluster.namespace(SYSTEM, &[]).await.unwrap();
    let overlay = kustomized("overlays/cert-manager").await.unwrap();
    let named = "--set-json=certManager={\"enabled\":true,\"issuerRef\":{\"kind\":\"ClusterIssuer\",\"name\":\"any\"}}";
    let strict = ["--dry-run=server", "--validate=strict"];
    for (what, text, count) in
        [("the overlay", overlay.clone(), 4), ("another issuer", templated(&[named]).await.unwrap(), 1)]
    {
        let ours = ours(&text);
        assert_eq!(ours.len(), count, "{what}");
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": ours }).to_string();
        until(&format!("{what} is taken"), LIMIT, async || apply(&cluster, &list, &strict).await).await.unwrap();
    }
    // The schemas are in force: what they do not know is refused.
    for (good, bad) in [("dnsNames", "dnsName"), ("ECDSA", "EC"), ("server auth", "server")] {
        let broken = Value::Array(ours(&overlay)).to_string().replace(good, bad);
        let list = format!("{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":{broken}}}");
        let said = apply(&cluster, &list, &strict).await.unwrap_err().to_string();
        assert!(said.contains(bad), "{bad}: {said}");
    }
}

/// Of an authority and a certificate as the objects ask for them, in a Secret as that project writes it: the key in the
/// form of SEC 1, which is its default.
#[tokio::test]
async fn berth_takes_what_it_makes() {
    let objects = ours(&kustomized("overlays/cert-manager").await.unwrap());
    let certificate = |name: &str| {
        let mut found = objects.iter().filter(|one| one["kind"] == "Certificate" && one["metadata"]["name"] == name);
        found.next().cloned().unwrap()["spec"].clone()
    };
    let (authority, leaf) = (certificate("berth-authority"), certificate("berth-tls"));
    assert_eq!(leaf["secretName"], "berth-tls");
    let secret = secret(&authority, &leaf).unwrap();
    let served = Served::from_secret(&secret, NAME, SystemTime::now()).unwrap();
    let later = SystemTime::now() + Duration::from_secs(80 * DAY);
    served.chain().verify(served.authorities(), NAME, later).unwrap();
    assert!(matches!(
        Served::from_secret(&secret, "another.berth-system.svc", SystemTime::now()),
        Err(Error::WrongName { .. })
    ));

    let mut nameless = leaf.clone();
    nameless["dnsNames"] = json!(["berth-webhook"]);
    let refused = Served::from_secret(&self::secret(&authority, &nameless).unwrap(), NAME, SystemTime::now());
    assert!(matches!(refused, Err(Error::WrongName { .. })));
}

/// The objects of that project.
fn ours(text: &str) -> Vec<Value> {
    let all = objects(text).unwrap().into_iter();
    all.filter(|object| object["apiVersion"].as_str().unwrap().starts_with("cert-manager.io/")).collect()
}

async fn apply(cluster: &Cluster, text: &str, flags: &[&str]) -> anyhow::Result<()> {
    let arguments = [&["apply", "--server-side", "-f", "-"], flags].concat();
    let output = cluster.kubectl(&arguments, text).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// What becomes of the specs of two Certificates.
fn secret(authority: &Value, leaf: &Value) -> anyhow::Result<BTreeMap<String, ByteString>> {
    let mut parameters = CertificateParams::default();
    let name = authority["commonName"].as_str().context("an authority has a name")?;
    parameters.distinguished_name.push(DnType::CommonName, name);
    ensure!(authority["isCA"] == true, "it signs nothing");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;

    let names: Vec<String> = serde_json::from_value(leaf["dnsNames"].clone())?;
    let mut parameters = CertificateParams::new(names)?;
    ensure!(leaf["usages"] == json!(["digital signature", "server auth"]), "{}", leaf["usages"]);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    ensure!(leaf["duration"] == "2160h", "{}", leaf["duration"]);
    parameters.not_after = (SystemTime::now() + Duration::from_secs(90 * DAY)).into();
    let key = KeyPair::generate()?;
    let certificate = parameters.signed_by(&key, &issuer)?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key.serialize_der())?;
    let sec1 = AsDer::<EcPrivateKeyRfc5915Der<'_>>::as_der(&pair.private_key())?;
    let key = format!("-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----\n", lines(sec1.as_ref()));
    let data = [("tls.crt", certificate.pem()), ("tls.key", key), ("ca.crt", issuer.pem())];
    Ok(data.map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))).into())
}

/// Base64 in lines of 64, as PEM has it.
fn lines(bytes: &[u8]) -> String {
    let text = BASE64.encode(bytes);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    lines.join("\n")
}

const NAME: &str = "berth-webhook.berth-system.svc";
/// Seconds.
const DAY: u64 = 24 * 60 * 60;
