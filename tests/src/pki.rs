//! Certificates of the test cluster: one authority, and whoever it vouches for.

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

/// A certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, both PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl Authority {
    /// A new one.
    pub fn new() -> anyhow::Result<Self> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "berth-tests");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer =
            CertifiedIssuer::self_signed(parameters, KeyPair::generate()?).context("cannot make an authority")?;
        Ok(Self { issuer })
    }

    /// Its own certificate, PEM.
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// Its own certificate as a `caBundle` has it: PEM in base64.
    pub fn bundle(&self) -> String {
        BASE64.encode(self.certificate())
    }

    /// For a server that is reached by `names` (DNS names and addresses).
    pub fn server(&self, names: &[&str]) -> anyhow::Result<Identity> {
        let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
        self.issue(CertificateParams::new(names)?, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For `user`, a member of `group`: the API server takes them from the common name and the organization.
    pub fn client(&self, user: &str, group: Option<&str>) -> anyhow::Result<Identity> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            parameters.distinguished_name.push(DnType::OrganizationName, group);
        }
        self.issue(parameters, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A kubeconfig with which `user`, a member of `group`, reaches `server`.
    pub fn kubeconfig(&self, server: &str, user: &str, group: Option<&str>) -> anyhow::Result<String> {
        let identity = self.client(user, group)?;
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "berth-tests",
                "cluster": { "server": server, "certificate-authority-data": self.bundle() },
            }],
            "users": [{
                "name": user,
                "user": {
                    "client-certificate-data": BASE64.encode(&identity.certificate),
                    "client-key-data": BASE64.encode(&identity.key),
                },
            }],
            "contexts": [{ "name": "berth-tests", "context": { "cluster": "berth-tests", "user": user } }],
            "current-context": "berth-tests",
        });
        Ok(serde_json::to_string_pretty(&kubeconfig)?)
    }

    fn issue(&self, mut parameters: CertificateParams, usage: ExtendedKeyUsagePurpose) -> anyhow::Result<Identity> {
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}
