//! The judge of patches: the Go library that the API server applies them with.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, anyhow};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::programs::Program;

/// A running oracle. It ends when its standard input does, so with its owner.
pub struct Oracle {
    child: Child,
    /// Question and answer are one line each, one at a time.
    pipes: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
}

impl Oracle {
    /// Starts it.
    pub async fn start() -> anyhow::Result<Self> {
        let mut command = Command::new(Program::Oracle.path().await?);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start the oracle")?;
        let pipes = child.stdin.take().zip(child.stdout.take().map(BufReader::new));
        Ok(Self { child, pipes: Mutex::new(pipes) })
    }

    /// What the API server makes of `document` by `patch`.
    ///
    /// # Errors
    /// The library's own words where the patch does not apply: the API server would fail the request.
    pub fn apply(&self, document: &Value, patch: &Value) -> anyhow::Result<Value> {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        let (questions, answers) = pipes.as_mut().context("the oracle was started with pipes")?;
        let mut line = json!({ "document": document, "patch": patch }).to_string();
        line.push('\n');
        questions.write_all(line.as_bytes())?;
        line.clear();
        answers.read_line(&mut line)?;
        let answer: Answer = serde_json::from_str(&line).context("the oracle gave no answer")?;
        answer.patched.ok_or_else(|| anyhow!(answer.error))
    }
}

/// What it answers: one of the two.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    patched: Option<Value>,
    error: String,
}

impl Drop for Oracle {
    fn drop(&mut self) {
        self.pipes.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // It ends at the end of its input; waiting only clears it away.
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn applies_patches_as_the_api_server_does() {
        let oracle = Oracle::start().await.unwrap();
        let pod = json!({ "metadata": { "name": "a<b" }, "spec": { "containers": [{ "image": "app" }] } });
        let replace = json!([{ "op": "replace", "path": "/spec/containers/0/image", "value": "app:v1" }]);
        let patched = oracle.apply(&pod, &replace).unwrap();
        assert_eq!(
            patched,
            json!({ "metadata": { "name": "a<b" }, "spec": { "containers": [{ "image": "app:v1" }] } })
        );

        let nowhere = json!([{ "op": "replace", "path": "/spec/volumes/0/image", "value": "app:v1" }]);
        let refused = oracle.apply(&pod, &nowhere).unwrap_err();
        assert!(refused.to_string().contains("/spec/volumes/0/image"), "{refused}");
        assert_eq!(oracle.apply(&pod, &json!([])).unwrap(), pod, "it goes on after an error");
    }
}
