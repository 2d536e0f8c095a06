//! Notes: what Berth says to people, on the Pod, as warnings and in the audit log.

use std::fmt;

/// One thing that a person should know about this Pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// One sentence, without the container's name.
    pub text: String,
    /// The container or volume it is about, if it is about one.
    pub about: Option<String>,
    /// A person should act: the Pod gets the label `berth.dev/attention`.
    pub attention: bool,
}

impl Note {
    /// A note that informs.
    pub fn info(text: impl Into<String>) -> Self {
        Self { text: text.into(), about: None, attention: false }
    }

    /// A note on which a person should act.
    pub fn attention(text: impl Into<String>) -> Self {
        Self { text: text.into(), about: None, attention: true }
    }

    /// The same, about the container or volume `name`.
    #[must_use]
    pub fn about(mut self, name: &str) -> Self {
        self.about = Some(name.to_owned());
        self
    }
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.about {
            Some(name) => write!(formatter, "{name}: {}", self.text),
            None => formatter.write_str(&self.text),
        }
    }
}
