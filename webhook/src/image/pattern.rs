//! Patterns with `*` (any characters) and `?` (one character), as people write them for tags and names.

use std::{fmt, str::FromStr};

/// A pattern that must match a whole text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        glob(self.0.as_bytes(), text.as_bytes())
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Greedy matching with one point of return: linear in practice, never exponential.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(seen) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(mark) if *mark == b'?' || mark == byte => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((back, taken)) = star else { return false };
                star = Some((back, taken + 1));
                at = back + 1;
                seen = taken + 1;
            }
        }
    }
    pattern.iter().skip(at).all(|mark| *mark == b'*')
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() || text.contains(char::is_whitespace) {
            return Err(PatternError { text: text.to_owned() });
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A text that is no pattern.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not a pattern: some characters without spaces, `*` for any number of characters, `?` for one")]
pub struct PatternError {
    /// The text, as given.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, want: bool) {
        assert_eq!(pattern.parse::<Pattern>().unwrap().matches(text), want, "pattern: {pattern}, text: {text}");
    }

    #[test]
    fn a_pattern_matches_the_whole_text() {
        check("latest", "latest", true);
        check("latest", "latest2", false);
        check("late", "latest", false);
        check("*", "", true);
        check("*", "anything", true);
        check("v?", "v1", true);
        check("v?", "v", false);
        check("v?", "v12", false);
        check("*:tilt-*", "petstore:tilt-a03b", true);
        check("localhost/*", "localhost/a/b", true);
        check("a*b*c", "a-b-b-c", true);
        check("a*b*c", "a-b-b", false);
        check("**", "x", true);
        check("*a", "aaab", false);
    }

    #[test]
    fn a_pattern_has_characters_and_no_spaces() {
        for text in ["", " ", "a b", "a\tb", "a\n"] {
            assert_eq!(text.parse::<Pattern>(), Err(PatternError { text: text.to_owned() }));
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        check(&"a*".repeat(50), &"a".repeat(10_000), true);
        check(&("a*".repeat(50) + "b"), &"a".repeat(10_000), false);
    }

    /// The obvious way, which takes exponential time.
    fn obvious(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|taken| obvious(rest, &text[taken..])),
            ([b'?', pattern @ ..], [_, text @ ..]) => obvious(pattern, text),
            ([mark, pattern @ ..], [byte, text @ ..]) if mark == byte => obvious(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn greedy_is_right(pattern in "[ab*?]{1,8}", text in "[ab]{0,10}") {
            let want = obvious(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(pattern.parse::<Pattern>().unwrap().matches(&text), want);
        }
    }
}
