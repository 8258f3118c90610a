//! The names of contexts: they stand in log lines and errors, so that nobody may forge those.

/// The longest name, in bytes.
pub(crate) const MAX_NAME: usize = 256;

/// Whether a context may be called this: 1 to 256 bytes without control characters.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && !name.contains(char::is_control)
}

/// The name that somebody else has given, made into one that may be shown.
pub(crate) fn sane_name(name: &str) -> String {
    if is_name(name) {
        return name.to_owned();
    }
    let mut name: String = name.chars().take(MAX_NAME).map(|c| if c.is_control() { '?' } else { c }).collect();
    super::cut(&mut name, MAX_NAME);
    if name.is_empty() { "?".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_elsewhere_cannot_forge_a_line() {
        assert_eq!(sane_name("web\n[root] all is well"), "web?[root] all is well");
        assert_eq!(sane_name(""), "?");
        assert_eq!(sane_name(&"\u{e4}".repeat(300)).len(), MAX_NAME);
        assert_eq!(sane_name("web 1"), "web 1");
    }
}
