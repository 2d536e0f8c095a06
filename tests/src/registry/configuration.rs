//! The registry's configuration file, by the options.

use serde_json::{Value, json};

use super::{ECR_USER, KEYS, Options, PASSWORD, USER};
use crate::{
    processes::Folder,
    token_server::{ISSUER, SERVICE},
};

/// The configuration; the registry's YAML is a superset of JSON. The files that it names are written to `folder`.
///
/// # Source
/// `docs/content/about/configuration.md` of distribution 3.
pub(super) fn configuration(options: &Options<'_>, address: &str, folder: &Folder) -> anyhow::Result<Value> {
    Ok(json!({
        "version": 0.1,
        "log": { "level": "info" },
        "storage": { "filesystem": { "rootdirectory": folder.path().join("images") }, "delete": { "enabled": true } },
        "http": { "addr": address, "tls": tls(options, address, folder)? },
        "auth": auth(options, folder)?,
        "proxy": proxy(options),
    }))
}

/// Nothing: plain HTTP.
fn tls(options: &Options<'_>, address: &str, folder: &Folder) -> anyhow::Result<Value> {
    let Some(authority) = options.authority else { return Ok(json!({})) };
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    let names: Vec<_> = [host, "localhost"].into_iter().chain(options.name).collect();
    let identity = authority.server(&names)?;
    // With authorities and nothing else said, every client needs a certificate from them.
    let clients = options.clients.map(|clients| folder.write("clients.crt", clients.certificate())).transpose()?;
    Ok(json!({
        "certificate": folder.write("tls.crt", identity.certificate)?,
        "key": folder.write("tls.key", identity.key)?,
        "clientcas": clients.into_iter().collect::<Vec<_>>(),
    }))
}

/// Nothing: for everybody.
fn auth(options: &Options<'_>, folder: &Folder) -> anyhow::Result<Value> {
    if let Some(tokens) = options.tokens {
        let keys = folder.write(KEYS, tokens.keys().to_string())?;
        let realm = tokens.realm();
        return Ok(json!({ "token": { "realm": realm, "service": SERVICE, "issuer": ISSUER, "jwks": keys } }));
    }
    if options.password {
        let path = folder.write("htpasswd", format!("{USER}:{PASSWORD_HASH}\n{ECR_USER}:{ECR_PASSWORD_HASH}\n"))?;
        return Ok(json!({ "htpasswd": { "realm": "berth-tests", "path": path } }));
    }
    Ok(json!({}))
}

/// Nothing: it holds what is pushed to it.
fn proxy(options: &Options<'_>) -> Value {
    let Some(upstream) = options.upstream else { return json!({}) };
    let (username, password) = if upstream.password { (USER, PASSWORD) } else { ("", "") };
    json!({ "remoteurl": upstream.endpoint(), "username": username, "password": password })
}

/// The passwords by bcrypt, which is all that the registry reads.
const PASSWORD_HASH: &str = "$2a$04$8ayyPTiMvh2qs3RNY8R5zeBb/dnPh72RHaKMI/8FaZScZhwnsYaJ6";
const ECR_PASSWORD_HASH: &str = "$2a$04$JA/NutspYKdNtl2HwtTpveDt3DVfZFDGkLZOK6Xw6Z2ym6LWYvr6C";
