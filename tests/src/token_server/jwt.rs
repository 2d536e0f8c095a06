//! Tokens as the distribution project's registry verifies them: JSON Web Tokens, signed by ES256.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};

use super::{ISSUER, SERVICE};

/// Signs tokens by a key of its own.
pub(super) struct Signer {
    pair: EcdsaKeyPair,
}

impl Signer {
    /// A new key.
    pub(super) fn new() -> anyhow::Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| anyhow!("no key"))?;
        Ok(Self { pair })
    }

    /// The public key, as a JSON Web Key Set.
    pub(super) fn keys(&self) -> Value {
        // X9.62, uncompressed: a byte 4, and two coordinates of 32 bytes each.
        let point = self.pair.public_key().as_ref();
        let coordinate = |range| BASE64.encode(point.get::<std::ops::Range<usize>>(range).unwrap_or_default());
        let (x, y) = (coordinate(1..33), coordinate(33..65));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KEY, "x": x, "y": y }] })
    }

    /// A token of `subject` for `access`; `expired` for longer than the registry tolerates.
    ///
    /// # Source
    /// `docs/content/spec/auth/jwt.md` of distribution; `Leeway` (60 s) in its `registry/auth/token/token.go`.
    pub(super) fn sign(&self, subject: &str, access: &Value, expired: bool) -> anyhow::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let header = json!({ "typ": "JWT", "alg": "ES256", "kid": KEY });
        let claims = json!({
            "iss": ISSUER,
            "sub": subject,
            "aud": SERVICE,
            "iat": now,
            "nbf": now - 600,
            "exp": if expired { now - 120 } else { now + 300 },
            "jti": now.to_string(),
            "access": access,
        });
        let signed = [BASE64.encode(header.to_string()), BASE64.encode(claims.to_string())].join(".");
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| anyhow!("no signature"))?;
        Ok([signed, BASE64.encode(signature)].join("."))
    }
}

/// The name of the key.
const KEY: &str = "berth-tests-key";
