//! `mirror:` — ordered rules on parsed names, never on string prefixes.

use super::{
    rules::{self, Placed},
    section::Section,
    value,
    yaml::Value,
};
use crate::image::Reference;

/// The section `mirror`.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    /// The rules, most specific source first; the file's order breaks ties.
    pub rules: Vec<Rule>,
}

impl Mirror {
    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let rules = section.sections("rules", Rule::read);
        let rules = rules::arrange(rules, section.findings());
        section.finish();
        Self { rules }
    }
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
    /// A pull secret that Pods get with the mirror's image; it must exist in their namespace.
    pub pull_secret: Option<String>,
    /// Nodes have credentials of their own for the mirror, so that Berth asks with its own, too.
    pub nodes_have_credentials: bool,
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
    fn read(mut section: Section<'_, '_>) -> Option<Placed> {
        let resolvers = [("source", Resolve::Source), ("mirror", Resolve::Mirror)];
        let fallbacks = [("source", Fallback::Source), ("deny", Fallback::Deny)];
        let source = section.required("source", "docker.io/library/app", source);
        let mirror = section.required("mirror", "registry.example/library/app", mirror);
        let resolve = section.value("resolve", value::choice(&resolvers)).unwrap_or(Resolve::Source);
        let fallback = section.value("fallback", value::choice(&fallbacks)).unwrap_or(Fallback::Source);
        let pull_secret = section.value("pullSecret", value::object_name);
        let nodes_have_credentials = section.value("nodesHaveCredentials", value::boolean).unwrap_or(false);
        let place = section.place();
        let rule = source.zip(mirror).map(|(source, mirror)| Self {
            source,
            mirror,
            resolve,
            fallback,
            pull_secret,
            nodes_have_credentials,
        });
        let doubts = rule.iter().flat_map(rules::doubts).map(|doubt| place.finding(doubt));
        section.findings().warnings.extend(doubts);
        section.finish();
        rule.map(|rule| Placed { rule, place })
    }

    /// The name that `repository` (`host/path`, defaults filled in) has at the mirror, if the rule is about it.
    pub fn rewrite(&self, repository: &str) -> Option<String> {
        let rest = repository.strip_prefix(self.source.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then(|| [self.mirror.as_str(), rest].concat())
    }
}

/// A host, or a host and the start of a path, in full.
fn source(value: &Value) -> Result<String, String> {
    let text = value::text(value)?;
    if let Some(name) = prefix(text) {
        return Ok(name);
    }
    match text.parse::<Reference>() {
        Ok(image) if image.tag().is_some() || image.digest().is_some() => {
            Err(format!("`{text}` has a tag or a digest; a rule is about a name: `{}`", image.name()))
        }
        Ok(_) if !text.contains('/') => Err(format!(
            "`{text}` can mean two things; write `docker.io/library/{text}` for the image or `docker.io/{text}` for all below it"
        )),
        Ok(image) => Ok(image.repository()),
        Err(_) => Err(format!(
            "{} is not a registry (`docker.io`) or a name below one (`docker.io/library/nginx`)",
            value.describe()
        )),
    }
}

/// A host, or a host and the start of a path.
fn mirror(value: &Value) -> Result<String, String> {
    let name = value::text(value).ok().and_then(prefix);
    name.ok_or_else(|| {
        format!(
            "{} is not a registry (`localhost:30500`) or a path there (`harbor.example/hub`), without a tag",
            value.describe()
        )
    })
}

/// `host` or `host/path` where the host is written out; the path is taken literally: no `library/` is added.
fn prefix(text: &str) -> Option<String> {
    let image: Reference = [text, "/x"].concat().parse().ok()?;
    let written = image.as_str().split('/').next()?;
    let has_host = image.host() == written || written == "index.docker.io";
    let path = text.strip_prefix(written)?;
    has_host.then(|| [image.host(), path].concat())
}
