//! `mirror:` — ordered rules on parsed names, never on string prefixes.

/// The section `mirror`.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    /// The rules, most specific source first; the file's order breaks ties.
    pub rules: Vec<Rule>,
}

/// One rule: images below `source` are taken from below `mirror`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// `host` or `host/path`, with Docker Hub's defaults filled in: whole path components, host compared exactly.
    pub source: String,
    /// `host/path` that replaces it.
    pub mirror: String,
    /// Who says what the tag means.
    pub resolve: Resolve,
    /// What happens when the mirror does not have it.
    pub fallback: Fallback,
}

/// Who says what a tag means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Resolve {
    /// The source; the mirror is then asked for that digest.
    Source,
    /// The mirror; the source is never contacted.
    Mirror,
}

/// What happens when no mirror has the image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fallback {
    /// The source stays.
    Source,
    /// The Pod is refused.
    Deny,
}

impl Rule {
    /// The name that `repository` (`host/path`, defaults filled in) has at the mirror, if the rule is about it.
    pub fn rewrite(&self, repository: &str) -> Option<String> {
        let rest = repository.strip_prefix(self.source.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then(|| [self.mirror.as_str(), rest].concat())
    }
}
