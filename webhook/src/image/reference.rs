//! Image references, by the grammar of `distribution/reference`, which kubelets and runtimes use.

use std::{borrow::Cow, fmt, ops::Range, str::FromStr};

use super::Digest;

/// An image reference, with the user's spelling kept.
///
/// [`Display`](fmt::Display) writes it as the user did; [`Reference::host`] and [`Reference::path`] have the defaults filled in.
///
/// # Source
/// `distribution/reference`, `ParseNormalizedNamed`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Reference {
    text: Box<str>,
    /// Where the name ends in `text`: before `:tag` or `@digest`.
    name: usize,
    /// Where the path starts in `text`: after the host and its slash, or 0 where the host is implied.
    path: usize,
    tag: Option<Range<usize>>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry's host, with its port if it has one: `docker.io` where none is written.
    ///
    /// `index.docker.io` is `docker.io`, as everywhere in this field.
    pub fn host(&self) -> &str {
        match self.path.checked_sub(1).and_then(|end| self.text.get(..end)) {
            None | Some("index.docker.io") => "docker.io",
            Some(host) => host,
        }
    }

    /// The repository without `library/`, as far as it is written.
    fn written_path(&self) -> &str {
        self.text.get(self.path..self.name).unwrap_or_default()
    }

    /// `library/` where Docker Hub implies it, else nothing.
    fn implied(&self) -> &'static str {
        if self.host() == "docker.io" && !self.written_path().contains('/') { "library/" } else { "" }
    }

    /// The repository at the host: `library/nginx`.
    pub fn path(&self) -> String {
        [self.implied(), self.written_path()].concat()
    }

    /// Host and repository with the defaults filled in, as nodes list it: `docker.io/library/nginx`.
    pub fn repository(&self) -> String {
        [self.host(), "/", self.implied(), self.written_path()].concat()
    }

    /// What a registry is asked for, one text for all spellings of it: `docker.io/library/nginx:latest`, or
    /// `docker.io/library/nginx@sha256:…` where there is a digest, whatever the tag.
    pub fn target(&self) -> Cow<'_, str> {
        let whole = self.path > 0 && self.implied().is_empty() && self.text.starts_with(self.host());
        if whole && self.tag.is_some() != self.digest.is_some() {
            return Cow::Borrowed(&self.text);
        }
        let (mark, version) = match &self.digest {
            Some(digest) => ("@", digest.as_str()),
            None => (":", self.effective_tag().unwrap_or_default()),
        };
        [self.host(), "/", self.implied(), self.written_path(), mark, version].concat().into()
    }

    /// The name as the user spelled it, without tag and digest.
    pub fn name(&self) -> &str {
        self.text.get(..self.name).unwrap_or_default()
    }

    /// The tag, if one is written.
    pub fn tag(&self) -> Option<&str> {
        self.text.get(self.tag.clone()?)
    }

    /// The tag that counts: `latest` where neither tag nor digest is written; none where only a digest is.
    pub fn effective_tag(&self) -> Option<&str> {
        self.tag().or(if self.digest.is_none() { Some("latest") } else { None })
    }

    /// The digest, if one is written: then it alone decides what is pulled.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The text exactly as the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text exactly as the user wrote it.
    pub fn into_string(self) -> String {
        self.text.into()
    }

    /// This reference with another digest, the name spelled as before; the tag stays if `keep_tag`.
    ///
    /// The spelling is a rule, not a courtesy: since Kubernetes 1.35 the kubelet remembers pulls by it (KEP-2535).
    #[must_use]
    pub fn pinned(&self, digest: &Digest, keep_tag: bool) -> Self {
        Self::assemble(self.name(), self.path, self.tag().filter(|_| keep_tag), Some(digest.clone()))
    }

    /// The same name and tag without a digest; none where no tag is written.
    pub fn by_tag(&self) -> Option<Self> {
        Some(Self::assemble(self.name(), self.path, Some(self.tag()?), None))
    }

    /// The same tag and digest under another name (`host/path`).
    ///
    /// # Errors
    /// [`ParseError`] when `name` is not the name of a repository.
    pub fn renamed(&self, name: &str) -> Result<Self, ParseError> {
        let parsed: Self = name.parse()?;
        if parsed.tag.is_some() || parsed.digest.is_some() {
            return Err(ParseError::Invalid { text: name.to_owned() });
        }
        Ok(Self::assemble(name, parsed.path, self.tag(), self.digest.clone()))
    }

    fn assemble(name: &str, path: usize, tag: Option<&str>, digest: Option<Digest>) -> Self {
        let versions =
            tag.map_or(0, |tag| tag.len() + 1) + digest.as_ref().map_or(0, |digest| digest.as_str().len() + 1);
        let mut text = String::with_capacity(name.len() + versions);
        text.push_str(name);
        let tag = tag.map(|tag| {
            text.push(':');
            let start = text.len();
            text.push_str(tag);
            start..text.len()
        });
        if let Some(digest) = &digest {
            text.push('@');
            text.push_str(digest.as_str());
        }
        Self { text: text.into(), name: name.len(), path, tag, digest }
    }
}

impl FromStr for Reference {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let invalid = || ParseError::Invalid { text: text.to_owned() };
        if text.strip_prefix("sha256:").is_some_and(is_hexadecimal_id) {
            return Err(ParseError::Id { text: text.to_owned() });
        }
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => {
                let digest = digest.parse().map_err(|_| ParseError::Digest { text: text.to_owned() })?;
                (named, Some(digest))
            }
            None => (text, None),
        };
        let (name, tag) = match named.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)), // else it was the port
            _ => (named, None),
        };
        let (host, path) = match name.split_once('/') {
            Some((host, path)) if names_a_host(host) => (Some(host), path),
            _ => (None, name),
        };
        if host.is_some_and(|host| !is_host(host)) || tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(invalid());
        }
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ParseError::UpperCase { text: text.to_owned() });
        }
        if !path.split('/').all(is_component) || is_hexadecimal_id(text) {
            return Err(invalid());
        }
        let reference = Self::assemble(name, name.len() - path.len(), tag, digest);
        if reference.implied().len() + path.len() > REPOSITORY_LIMIT {
            return Err(ParseError::TooLong { text: text.to_owned() });
        }
        Ok(reference)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Whether the first component names a registry: it has a dot or a port, is `localhost`, or has an upper-case letter.
fn names_a_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// `domain-component(.domain-component)*` or an IPv6 literal in brackets, then an optional `:port`.
fn is_host(host: &str) -> bool {
    if let Some(literal) = host.strip_prefix('[') {
        let Some((address, port)) = literal.split_once(']') else { return false };
        let hexadecimal = address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
        return !address.is_empty() && hexadecimal && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    name.split('.').all(is_domain_component) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_domain_component(part: &str) -> bool {
    let inner = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    inner && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(part: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = part.as_bytes();
    loop {
        let word = rest.iter().take_while(|byte| alphanumeric(**byte)).count();
        let Some((_, after)) = rest.split_at_checked(word).filter(|_| word > 0) else { return false };
        if after.is_empty() {
            return true;
        }
        let separator = after.iter().take_while(|byte| !alphanumeric(**byte)).count();
        let Some((mark, after)) = after.split_at_checked(separator) else { return false };
        if !(matches!(mark, b"." | b"_" | b"__") || mark.iter().all(|byte| *byte == b'-')) {
            return false;
        }
        rest = after;
    }
}

/// `[\w][\w.-]{0,127}`
fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let first = tag.bytes().next().is_some_and(word);
    first && tag.len() <= TAG_LIMIT && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// 64 lower-case hexadecimal digits and nothing else: no reference, lest it be taken for an image ID. With `sha256:` in
/// front it would be a tag of `docker.io/library/sha256` by the grammar, yet runtimes look for that ID before all else.
///
/// # Source
/// `distribution/reference`, `ParseNormalizedNamed`; containerd, `internal/cri/server/images`, `LocalResolve`.
fn is_hexadecimal_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A text that is no image reference.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// It does not follow the grammar.
    #[error("`{}` is not an image reference", .text.escape_debug())]
    Invalid {
        /// The text, as given.
        text: String,
    },
    /// A repository's name is lower case.
    #[error("`{}` is not an image reference: a repository's name must be lower case", .text.escape_debug())]
    UpperCase {
        /// The text, as given.
        text: String,
    },
    /// The repository's name has more than 255 characters.
    #[error("`{}…` is not an image reference: the name is longer than 255 characters", .text.chars().take(60).collect::<String>().escape_debug())]
    TooLong {
        /// The text, as given.
        text: String,
    },
    /// It is the ID of an image: a node that has it starts it, and nobody can pull it.
    #[error("`{}…` is an image ID, which nodes do not list", .text.chars().take(19).collect::<String>())]
    Id {
        /// The text, as given.
        text: String,
    },
    /// What follows `@` is no digest.
    #[error("`{}` is not an image reference: a digest is `sha256:` and 64 lower-case hexadecimal digits", .text.escape_debug())]
    Digest {
        /// The text, as given.
        text: String,
    },
}

/// Characters of a repository's path, `library/` included. Source: `distribution/reference`, `RepositoryNameTotalLengthMax`.
const REPOSITORY_LIMIT: usize = 255;
/// Characters of a tag. Source: the same grammar.
const TAG_LIMIT: usize = 128;

#[cfg(test)]
mod tests;
