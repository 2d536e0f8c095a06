//! Names that a node can have.

/// Whether the API server takes `name` for a node: lower-case letters, digits, `-` and `.`, none of these at an end. So it
/// is never a flag, a path, or more than one word.
///
/// # Source
/// RFC 1123 subdomain, as `k8s.io/apimachinery/pkg/util/validation.IsDNS1123Subdomain` has it.
pub fn is_valid(name: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| {
        let ends = [label.bytes().next(), label.bytes().next_back()];
        ends.iter().all(|end| end.is_some_and(alphanumeric))
            && label.bytes().all(|byte| alphanumeric(byte) || byte == b'-')
    };
    name.len() <= LONGEST && name.split('.').all(label)
}

/// Bytes of a name.
const LONGEST: usize = 253;
