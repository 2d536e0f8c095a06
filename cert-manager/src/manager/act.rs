//! One step, done: each is a single write, but for what goes into several configurations.

use std::{collections::BTreeMap, time::SystemTime};

use secrecy::SecretSlice;

use super::{Failure, Look, tell::Teller};
use crate::{
    Authority, Bundle, Error, News, Observer, Subject, moment,
    plan::{Action, Cause, Inheritance, Publication, Signer},
    served,
    settings::Settings,
    state::{Authorities, GENERATION, KEEPER, Notes, PUBLISHED, RETIRED_UNTIL, VALID_UNTIL, entries},
    store::{ConfigurationChange, SecretChange, Store, StoreError},
};

/// What a step works with.
pub(super) struct Act<'a, S, O> {
    pub(super) store: &'a S,
    pub(super) settings: &'a Settings,
    pub(super) teller: &'a Teller<O>,
    pub(super) look: &'a Look,
}

/// The objects that a step writes.
pub(super) fn objects(action: &Action, settings: &Settings) -> Vec<Subject> {
    match action {
        Action::Wait { .. } => Vec::new(),
        Action::IssueLeaf { .. } | Action::RefreshBundle => vec![Subject::Secret(settings.serving_secret.clone())],
        Action::Publish(due) => due.iter().map(|one| Subject::Configuration(one.name.clone())).collect(),
        Action::IssueAuthority(_)
        | Action::Renumber(_)
        | Action::StartRotation { .. }
        | Action::StartHold { .. }
        | Action::Promote { .. }
        | Action::RemoveRetired { .. } => vec![Subject::Secret(settings.authority_secret.clone())],
    }
}

impl<S: Store, O: Observer> Act<'_, S, O> {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        match &self.look.action {
            Action::Wait { .. } => Ok(()),
            Action::IssueAuthority(inheritance) => self.issue_authority(inheritance).await,
            Action::Renumber(inheritance) => self.write_authorities(self.inherited(inheritance)).await,
            Action::StartRotation { generation } => self.start_rotation(*generation).await,
            Action::IssueLeaf { signer, cause } => self.issue_leaf(*signer, *cause).await,
            Action::RefreshBundle => self.refresh_bundle().await,
            Action::Publish(due) => self.publish(due).await,
            Action::StartHold { published } => {
                self.write_authorities(self.note(PUBLISHED, Some(moment::written(*published)))).await
            }
            Action::Promote { retired_until } => self.promote(*retired_until).await,
            Action::RemoveRetired { generation, kept } => {
                let mut change = self.generation(*generation);
                change.data.insert(entries::RETIRED, pem(kept));
                self.write_authorities(change).await
            }
        }
    }

    async fn issue_authority(&self, inheritance: &Inheritance) -> Result<(), Failure> {
        let authority = self.new_authority()?;
        let mut change = self.inherited(inheritance);
        change.data.extend(slot(entries::SIGNING, entries::SIGNING_KEY, Some(&authority)));
        change.data.extend(slot(entries::COMING, entries::COMING_KEY, None));
        self.write_authorities(change).await?;
        self.tell_authority(&News::RotationStarted { before: None });
        Ok(())
    }

    /// A CA that was coming and cannot sign has signed leaves, perhaps.
    async fn start_rotation(&self, generation: u64) -> Result<(), Failure> {
        let authority = self.new_authority()?;
        let mut change = self.generation(generation);
        change.data.extend(slot(entries::COMING, entries::COMING_KEY, Some(&authority)));
        let content = self.authorities();
        if let Some(broken) = content.and_then(|content| content.coming.as_ref()) {
            let retired = content.map(|content| content.retired.with(&broken.certificate)).unwrap_or_default();
            change.data.insert(entries::RETIRED, pem(&retired));
        }
        self.write_authorities(change).await?;
        let signing = content.and_then(|content| content.signing.authority.as_ref().ok());
        let before = signing.map(|signing| signing.validity().not_after);
        self.tell_authority(&News::RotationStarted { before });
        Ok(())
    }

    /// The leaf is verified as an API server will do it before it goes anywhere.
    async fn issue_leaf(&self, signer: Signer, cause: Cause) -> Result<(), Failure> {
        let subject = Subject::Secret(self.settings.serving_secret.clone());
        let failed = |why| Failure::Issue { subject: subject.clone(), why };
        let content = self.authorities().ok_or(Error::EmptyBundle).map_err(failed)?;
        let slot = if signer == Signer::Coming { content.coming.as_ref() } else { Some(&content.signing) };
        let authority = slot.and_then(|slot| slot.authority.as_ref().ok());
        let authority = authority.ok_or(Error::Missing { entry: entries::SIGNING_KEY }).map_err(failed)?;
        let (now, Settings { leaf_lifetime, .. }) = (self.look.now, self.settings);
        let leaf = authority.issue_leaf(&self.settings.names(), now, *leaf_lifetime).map_err(failed)?;
        let bundle = content.bundle();
        let expires = crate::verify(&leaf, &bundle.to_pem(), &self.settings.call(), now).map_err(failed)?.not_after;

        let mut change = self.beside_leaf(&bundle);
        let before = self.look.state.serving.as_ref().and_then(|stored| stored.content.valid_until);
        let until = before.map_or(expires, |before| before.max(expires));
        change.annotations.insert(self.key(VALID_UNTIL), Some(moment::written(until)));
        // Whoever kept the Secret before does so no more, or puts this back.
        change.annotations.insert(KEEPER.to_owned(), None);
        change.data.insert(served::CERTIFICATE, Some(leaf.certificate_pem.into_bytes().into()));
        change.data.insert(served::KEY, Some(leaf.key_pem.into_bytes().into()));
        let uid = self.look.state.uid(&subject, self.settings);
        self.write_serving(change).await?;
        self.teller.happened(subject, uid, &News::CertificateIssued { cause, expires });
        Ok(())
    }

    async fn refresh_bundle(&self) -> Result<(), Failure> {
        let bundle = self.authorities().map(Authorities::bundle).unwrap_or_default();
        self.write_serving(self.beside_leaf(&bundle)).await
    }

    /// One that fails does not keep the bundle from the others.
    async fn publish(&self, due: &[Publication]) -> Result<(), Failure> {
        let mut failed = None;
        for one in due {
            let annotations = one.annotations.iter().map(|(name, value)| (self.key(name), value.clone()));
            let change = ConfigurationChange { annotations: annotations.collect(), bundles: one.bundles.clone() };
            match self.store.change_configuration(&one.name, &one.version, change).await {
                Ok(()) => {
                    if let Some(other_writer) = one.restored.clone() {
                        let subject = Subject::Configuration(one.name.clone());
                        self.teller.happened(subject, Some(one.uid.clone()), &News::BundleRestored { other_writer });
                    }
                }
                Err(error) => failed = Some(failed.filter(|first: &StoreError| !first.is_conflict()).unwrap_or(error)),
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// The key of the CA that is retired is gone with this write.
    async fn promote(&self, retired_until: SystemTime) -> Result<(), Failure> {
        let Some((content, coming)) =
            self.authorities().and_then(|content| Some((content, content.coming.as_ref()?.authority.as_ref().ok()?)))
        else {
            return Ok(());
        };
        let mut change = self.note(RETIRED_UNTIL, Some(moment::written(retired_until)));
        change.data.extend(slot(entries::SIGNING, entries::SIGNING_KEY, Some(coming)));
        change.data.extend(slot(entries::COMING, entries::COMING_KEY, None));
        change.data.insert(entries::RETIRED, pem(&content.signing.certificate.with(&content.retired)));
        self.write_authorities(change).await?;
        self.tell_authority(&News::RotationFinished { retired_until });
        Ok(())
    }

    fn authorities(&self) -> Option<&Authorities> {
        self.look.state.authorities.as_ref().map(|stored| &stored.content)
    }

    fn new_authority(&self) -> Result<Authority, Failure> {
        let Settings { authority_secret, ca_lifetime, .. } = self.settings;
        Authority::issue(authority_secret, self.look.now, *ca_lifetime)
            .map_err(|why| Failure::Issue { subject: Subject::Secret(authority_secret.clone()), why })
    }

    /// What is left of CAs that can sign no more.
    fn inherited(&self, inheritance: &Inheritance) -> SecretChange {
        let mut change = self.generation(inheritance.generation);
        change.annotations.insert(self.key(RETIRED_UNTIL), Some(moment::written(inheritance.until)));
        change.data.insert(entries::RETIRED, pem(&inheritance.retired));
        change
    }

    /// The bundle, and of which generation it is.
    fn beside_leaf(&self, bundle: &Bundle) -> SecretChange {
        let generation = self.look.state.authorities.as_ref().and_then(|stored| stored.generation).unwrap_or_default();
        let mut change = self.note(GENERATION, Some(generation.to_string()));
        change.data.insert(served::BUNDLE, pem(bundle));
        change
    }

    /// Another generation, which is not published yet.
    fn generation(&self, generation: u64) -> SecretChange {
        let mut change = self.note(GENERATION, Some(generation.to_string()));
        change.annotations.insert(self.key(PUBLISHED), None);
        change
    }

    fn note(&self, name: &str, value: Option<String>) -> SecretChange {
        SecretChange { annotations: BTreeMap::from([(self.key(name), value)]), ..SecretChange::default() }
    }

    fn key(&self, name: &str) -> String {
        Notes { domain: &self.settings.domain }.key(name)
    }

    async fn write_authorities(&self, change: SecretChange) -> Result<(), Failure> {
        let version = self.look.state.authorities.as_ref().map(|stored| stored.version.as_str());
        self.write(&self.settings.authority_secret, "Opaque", version, change).await
    }

    async fn write_serving(&self, change: SecretChange) -> Result<(), Failure> {
        let version = self.look.state.serving.as_ref().map(|stored| stored.version.as_str());
        self.write(&self.settings.serving_secret, "kubernetes.io/tls", version, change).await
    }

    async fn write(
        &self,
        name: &str,
        kind: &'static str,
        version: Option<&str>,
        change: SecretChange,
    ) -> Result<(), Failure> {
        match version {
            Some(version) => self.store.change_secret(name, version, change).await?,
            None => self.store.create_secret(name, kind, change).await?,
        }
        Ok(())
    }

    fn tell_authority(&self, news: &News) {
        let subject = Subject::Secret(self.settings.authority_secret.clone());
        let uid = self.look.state.uid(&subject, self.settings);
        self.teller.happened(subject, uid, news);
    }
}

/// The two entries of a CA, or that they are to go.
fn slot(
    certificate: &'static str,
    key: &'static str,
    authority: Option<&Authority>,
) -> [(&'static str, Option<SecretSlice<u8>>); 2] {
    let bytes = |text: String| SecretSlice::from(text.into_bytes());
    [
        (certificate, authority.map(|authority| bytes(authority.certificate_pem().to_owned()))),
        (key, authority.map(|authority| bytes(authority.key_pem()))),
    ]
}

/// The entry of a bundle; none where it is empty.
fn pem(bundle: &Bundle) -> Option<SecretSlice<u8>> {
    (!bundle.is_empty()).then(|| SecretSlice::from(bundle.to_pem().into_bytes()))
}
