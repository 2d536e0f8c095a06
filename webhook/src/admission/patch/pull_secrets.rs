//! The pull secrets that a Pod needs for its mirrored images.

use json_patch::PatchOperation;
use serde_json::{Value, json};

use super::add;
use crate::admission::{Moment, Subject, note::Note};

/// Names of pull secrets to add, each once.
#[derive(Debug, Default)]
pub(super) struct PullSecrets(Vec<String>);

impl PullSecrets {
    /// The Pod needs the secret `name`.
    pub(super) fn need(&mut self, name: String) {
        if !self.0.contains(&name) {
            self.0.push(name);
        }
    }

    /// Appends the operations for those that the Pod does not name yet. What it says is for where it cannot be changed.
    pub(super) fn write(self, subject: &Subject<'_>, operations: &mut Vec<PatchOperation>) -> Vec<Note> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let raw = subject.pod.spec.image_pull_secrets.map_or("null", |raw| raw.get());
        // What is no list is the API server's to refuse, and not to be overwritten.
        let Ok(present) = serde_json::from_str::<Option<Vec<Value>>>(raw) else { return Vec::new() };
        let named = |name: &String| present.iter().flatten().any(|entry| entry["name"] == **name);
        let missing: Vec<_> = self.0.into_iter().filter(|name| !named(name)).collect();
        let why = match subject.moment {
            Moment::Create | Moment::Planned => {
                let entries = missing.into_iter().map(|name| json!({ "name": name }));
                if present.is_some() {
                    operations.extend(entries.map(|entry| add("/spec/imagePullSecrets/-", entry)));
                } else {
                    operations.push(add("/spec/imagePullSecrets", entries.collect()));
                }
                return Vec::new();
            }
            Moment::Template => "add it to the template's imagePullSecrets",
            Moment::Debug => "it cannot be added to a Pod that runs",
        };
        missing.iter().map(|name| Note::attention(format!("the mirror needs pull secret {name}: {why}"))).collect()
    }
}
