//! The texts that are sent to the target: the command that begins, and the first stage.

use std::os::unix::ffi::OsStrExt;

use crate::connect::request::{Request, quote, quote_bytes};
use crate::router::random_number;

/// The first stage, as it is read and tested.
const FIRST_STAGE: &str = include_str!("first_stage.sh");

/// What stands in front of each line of the first stage, and the token behind it.
const MARK: &str = "mitogen-service";

/// Behind the token in the line before the script, and in that behind it.
const BEGIN: &str = "-begin";
const END: &str = "-end";

/// A random word by which the lines of one bootstrap are known.
#[derive(Clone, Debug)]
pub(in crate::connect) struct Token(String);

impl Token {
    pub(in crate::connect) fn new() -> Self {
        Self(format!("{:016x}", random_number()))
    }

    /// What the first stage puts in front of its lines.
    pub(super) fn mark(&self) -> String {
        format!("{MARK}:{}", self.0)
    }

    /// The script that the command runs: says the mark, and runs what comes over stdin.
    ///
    /// The mark is put together there, so that a shell or terminal that shows the command does not show
    /// the mark. No single quote, no line break, no exclamation mark: so that any login shell can be
    /// told it. `read` takes byte by byte what comes over a pipe, and leaves the rest alone.
    ///
    /// What stands before the script is passed over: a password that was given, and that nobody took,
    /// must not be run.
    pub(in crate::connect) fn command(&self) -> String {
        let token = &self.0;
        let until = |word: &str| format!("while IFS= read -r l; do case $l in {token}{word}) break;; esac; ");
        let (begin, end) = (until(BEGIN), until(END));
        format!("printf \"%s:%s\\n\" {MARK} {token}; eval \"$({begin}done; {end}printf \"%s\\n\" \"$l\"; done)\"")
    }

    /// What is sent when the mark has come: definitions, the first stage, and its end.
    pub(super) fn script(&self, request: &Request, name: &str, known: &str) -> Vec<u8> {
        let token = &self.0;
        let mut script = format!("{token}{BEGIN}\n").into_bytes();
        let given = request.cache_dir.as_ref().map_or(&b""[..], |dir| dir.as_os_str().as_bytes());
        for (key, value) in [
            ("mark", self.mark().as_bytes()),
            ("token", token.as_bytes()),
            ("known", known.as_bytes()),
            ("given", given),
            ("no_cache", if request.no_cache { b"1" } else { b"0" }),
            ("context", name.as_bytes()),
        ] {
            script.extend_from_slice(format!("{key}=").as_bytes());
            script.extend_from_slice(&quote_bytes(value));
            script.push(b'\n');
        }
        script.extend_from_slice(b"environment() {\n:\n");
        for (key, value) in &request.env {
            script.extend_from_slice(b"export ");
            script.extend_from_slice(key.as_os_str().as_bytes());
            script.push(b'=');
            script.extend_from_slice(&quote_bytes(value.as_os_str().as_bytes()));
            script.push(b'\n');
        }
        if let Some(dir) = &request.current_dir {
            script.extend_from_slice(b"cd ");
            // One that begins with a dash is no option.
            let dir = dir.as_os_str().as_bytes();
            let prefix: &[u8] = if dir.starts_with(b"/") { b"" } else { b"./" };
            script.extend_from_slice(&quote_bytes(&[prefix, dir].concat()));
            script.extend_from_slice(b" || fail directory ");
            script.extend_from_slice(quote(&String::from_utf8_lossy(dir)).as_bytes());
            script.push(b'\n');
        }
        script.extend_from_slice(b"}\n");
        for line in FIRST_STAGE.lines().map(str::trim_start) {
            if !line.is_empty() && !line.starts_with('#') {
                script.extend_from_slice(line.as_bytes());
                script.push(b'\n');
            }
        }
        script.extend_from_slice(format!("{token}{END}\n").as_bytes());
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_told_to_any_shell() {
        let command = Token::new().command();
        assert!(!command.contains(['\'', '\n', '!']), "{command}");
        assert!(!command.contains(&Token::new().mark()));
    }
}
