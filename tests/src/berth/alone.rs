//! `berth webhook --without-cluster`, and reviews as an API server sends them.

use std::{path::Path, process::Command, slice};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use reqwest::{Certificate, Client, ClientBuilder, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{READY_LIMIT, certificates, program};
use crate::{
    port::Port,
    processes::{Folder, Process, while_running},
    wait::until,
};

/// A running `berth webhook` without a cluster.
pub struct Alone {
    process: Process,
    url: String,
    client: Client,
    _folder: Folder,
    _ports: [Port; 2],
}

impl Alone {
    /// Starts it with this configuration, and waits until it is ready. `authorities` is a file with the certificate
    /// authorities of its machine.
    pub async fn start(configuration: &str, authorities: &Path) -> anyhow::Result<Self> {
        let folder = Folder::new("alone")?;
        let ports = [Port::free()?, Port::free()?];
        let [review, status] = ports.each_ref().map(|port| port.address().to_string());
        let (bundle, leaf) = certificates("127.0.0.1")?;
        let mut command = Command::new(program().await?);
        command.args(["webhook", "--without-cluster", "--listen", &review, "--status-listen", &status]);
        command.arg("--config").arg(folder.write("config.yaml", configuration)?);
        command.arg("--tls-cert").arg(folder.write("tls.crt", leaf.certificate_pem)?);
        command.arg("--tls-key").arg(folder.write("tls.key", leaf.key_pem)?);
        command.env("SSL_CERT_FILE", authorities).env("RUST_LOG", "info,berth=debug");
        let mut process = Process::spawn("alone", &command, folder.path())?;
        let ready = until("the webhook is ready", READY_LIMIT, async || {
            let answer = reqwest::get(format!("http://{status}/readyz")).await?;
            ensure!(answer.status().is_success(), "it answers {}", answer.status());
            Ok(())
        });
        while_running(slice::from_mut(&mut process), ready).await?;
        let roots = Certificate::from_pem(&BASE64.decode(bundle)?)?;
        let client = ClientBuilder::new().tls_certs_only([roots]).build()?;
        let url = format!("https://{review}/mutate?timeout=10s");
        Ok(Self { process, url, client, _folder: folder, _ports: ports })
    }

    /// Reviews a new Pod whose containers have these images; the images it gets, in order, and the notes.
    pub async fn review(&self, images: &[String]) -> anyhow::Result<(Vec<String>, String)> {
        let container = |(number, image)| json!({ "name": format!("c{number}"), "image": image });
        let containers: Vec<_> = images.iter().enumerate().map(container).collect();
        let mut pod = json!({ "metadata": { "name": "any" }, "spec": { "containers": containers } });
        let request = json!({
            "uid": "u", "operation": "CREATE", "namespace": "shop", "object": pod,
            "resource": { "group": "", "version": "v1", "resource": "pods" },
        });
        let review = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request });
        let request = self.client.post(&self.url).header(CONTENT_TYPE, "application/json").body(review.to_string());
        let answer = request.send().await?.error_for_status()?;
        let answer: Value = serde_json::from_slice(&answer.bytes().await?)?;
        let response = answer.get("response").context("a review has a response")?;
        ensure!(response.pointer("/allowed") == Some(&Value::Bool(true)), "{response}");
        if let Some(patch) = response.get("patch").and_then(Value::as_str) {
            let patch: json_patch::Patch = serde_json::from_slice(&BASE64.decode(patch)?)?;
            json_patch::patch(&mut pod, &patch)?;
        }
        let image = |number: usize| pod.pointer(&format!("/spec/containers/{number}/image")).and_then(Value::as_str);
        let written = (0..images.len()).filter_map(image).map(str::to_owned).collect();
        let notes = response.pointer("/auditAnnotations/notes").and_then(Value::as_str).unwrap_or_default();
        Ok((written, notes.to_owned()))
    }

    /// What it has logged, a JSON object a line.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
