//! What a client asks of the token service.

use axum::http::{HeaderMap, Method, header::AUTHORIZATION};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use berth::image::Pattern;
use serde_json::{Value, json};

use super::{Manner, TokenRequest, User, identity_token};

/// A request, as read: `GET` with a query, or `POST` with a form (`OAuth2`).
pub(super) struct Question {
    method: Method,
    fields: Vec<(String, String)>,
    authorization: Option<String>,
}

impl Question {
    /// Takes what came.
    pub(super) fn read(method: &Method, headers: &HeaderMap, fields: Vec<(String, String)>) -> Self {
        let authorization = headers.get(AUTHORIZATION).map(|value| String::from_utf8_lossy(value.as_bytes()).into());
        Self { method: method.clone(), fields, authorization }
    }

    /// Who asks: nobody in particular, a known user, or somebody whose proof is wrong.
    pub(super) fn user<'a>(&self, users: &'a [User]) -> Result<Option<&'a User>, ()> {
        let found = match (self.is_oauth2(), &self.authorization) {
            (true, _) => self.oauth2_user(users),
            (false, None) => return Ok(None),
            (false, Some(header)) => by_password(users, basic(header).ok_or(())?),
        };
        found.map(Some).ok_or(())
    }

    fn oauth2_user<'a>(&self, users: &'a [User]) -> Option<&'a User> {
        // Both are required.
        self.field("service").and(self.field("client_id"))?;
        match self.field("grant_type")? {
            "refresh_token" => {
                let token = self.field("refresh_token")?;
                users.iter().find(|user| identity_token(&user.name) == token)
            }
            "password" => by_password(users, (self.field("username")?.to_owned(), self.field("password")?.to_owned())),
            _ => None,
        }
    }

    /// The `access` claim: of the scopes that are asked for, the pulls from what `patterns` match.
    pub(super) fn pulls(&self, patterns: &[&Pattern]) -> Value {
        let scopes = self.scopes();
        let asked = scopes.iter().filter_map(|scope| {
            let (name, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
            actions.split(',').any(|action| action == "pull").then_some(name)
        });
        let granted = asked.filter(|name| patterns.iter().any(|pattern| pattern.matches(name)));
        granted.map(|name| json!({ "type": "repository", "name": name, "actions": ["pull"] })).collect()
    }

    /// Every scope that is asked for: `GET` repeats the parameter, `POST` separates them by spaces.
    pub(super) fn scopes(&self) -> Vec<String> {
        let values = self.fields.iter().filter(|(name, _)| name == "scope");
        values.flat_map(|(_, value)| value.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned)).collect()
    }

    /// A refresh token is asked for as well.
    pub(super) fn offline(&self) -> bool {
        self.field("offline_token") == Some("true") || self.field("access_type") == Some("offline")
    }

    /// By `POST`.
    pub(super) fn is_oauth2(&self) -> bool {
        self.method == Method::POST
    }

    /// The names under which the answer has its token.
    pub(super) fn names(&self, manner: &Manner) -> &'static [&'static str] {
        if self.is_oauth2() { &["access_token"] } else { manner.names }
    }

    /// For the record.
    pub(super) fn record(self, user: Option<String>, status: u16) -> TokenRequest {
        TokenRequest {
            user,
            scopes: self.scopes(),
            service: self.field("service").map(str::to_owned),
            grant_type: self.field("grant_type").map(str::to_owned),
            method: self.method.to_string(),
            authorization: self.authorization,
            status,
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

fn by_password(users: &[User], (name, password): (String, String)) -> Option<&User> {
    users.iter().find(|user| user.name == name && user.password == password)
}

/// Name and password of a header `Authorization`.
fn basic(header: &str) -> Option<(String, String)> {
    let text = String::from_utf8(BASE64.decode(header.strip_prefix("Basic ")?).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}
