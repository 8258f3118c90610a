//! The texts that are sent to the target: the command that begins, and the first stage.

use std::os::unix::ffi::OsStrExt;

use crate::connect::request::{Method, Prompt, Request, quote, quote_bytes};
use crate::executable::Executable;
use crate::router::random_number;

/// What the command runs, and what it is sent where the executable is not there yet: as they are read and tested.
const FIRST_STAGE: &str = include_str!("first_stage.sh");
const RECEIVE: &str = include_str!("receive.sh");

/// What stands in front of each line of the first stage, and the token behind it.
const MARK: &str = "mitogen-service";

/// How the first stage ends.
const END_OF_SCRIPT: &str = "eval \"$(listen)\"";

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

    /// The script that the command runs, as one line: definitions, and the first stage.
    ///
    /// The mark is put together there, so that a shell or terminal that shows the command does not show
    /// the mark. `known` are the executables that may be found there.
    pub(in crate::connect) fn command(&self, request: &Request, method: &Method, name: &str, known: &str) -> String {
        let token = &self.0;
        let dir = request.cache_dir.as_ref().map(|dir| dir.as_os_str().as_bytes()).unwrap_or_default();
        let flag = |flag| if flag { "1" } else { "0" };
        let definitions = [
            ("token", token.as_str()),
            ("mark", &format!("{MARK}:$token")),
            ("known", &format!("\"{known}\"")),
            ("given", &word(dir)),
            ("no_cache", flag(request.no_cache)),
            ("context", &word(name.as_bytes())),
            ("alone", flag(is_alone(request, method))),
        ];
        let definitions: String = definitions.iter().map(|(key, value)| format!("{key}={value}; ")).collect();
        definitions + &one_line(FIRST_STAGE)
    }

    /// A line that somebody has printed, and who quotes the script in it need not do so at its length.
    pub(super) fn without_script(&self, line: String) -> String {
        match (line.find(&format!("token={}", self.0)), line.rfind(END_OF_SCRIPT)) {
            (Some(from), Some(to)) if from < to => {
                format!("{}SCRIPT{}", &line[..from], &line[to + END_OF_SCRIPT.len()..])
            }
            _ => line,
        }
    }

    /// What the program has asked for, for a shell that is ready to run the executable.
    pub(super) fn environment(&self, request: &Request) -> Vec<u8> {
        self.framed(&environment(request))
    }

    /// What a shell needs to receive the executable, and to run it.
    pub(super) fn receive(&self, request: &Request, executable: &Executable, cksum: u32) -> Vec<u8> {
        let (hash, size) = (executable.sha256(), executable.size());
        let mut script = format!("hash={hash}\nsize={size}\ncrc={cksum}\nalone=1\n").into_bytes();
        script.extend(environment(request));
        for line in lines(RECEIVE) {
            script.extend_from_slice(line.as_bytes());
            script.push(b'\n');
        }
        self.framed(&script)
    }

    /// With the lines around it that `listen` looks for.
    fn framed(&self, script: &[u8]) -> Vec<u8> {
        let token = &self.0;
        [format!("{token}-begin\n").as_bytes(), script, format!("{token}-end\n").as_bytes()].concat()
    }
}

/// Whether the first stage needs to be told nothing more. What the program sets stands in no command line: it may be
/// secret. And a password that was given and that nobody took would be in front of the wire.
fn is_alone(request: &Request, method: &Method) -> bool {
    let is_typed = method.password.is_some() && !matches!(method.prompt, None | Some(Prompt::AskPass));
    request.env.is_empty() && request.current_dir.is_none() && !is_typed
}

fn environment(request: &Request) -> Vec<u8> {
    let mut script = b"environment() {\n:\n".to_vec();
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
        script.extend_from_slice(b" || { say fail directory ");
        script.extend_from_slice(quote(&String::from_utf8_lossy(dir)).as_bytes());
        script.extend_from_slice(b"; exit 1; }\n");
    }
    script.extend_from_slice(b"}\n");
    script
}

/// What of a script is sent.
fn lines(script: &str) -> impl Iterator<Item = &str> {
    script.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// A script without the ends of its lines, which csh does not take.
fn one_line(script: &str) -> String {
    let mut text = String::new();
    for line in lines(script) {
        text.push_str(line);
        // Behind these a semicolon would be an error; the last one is a pattern of `case`.
        let goes_on = [" in", "do", "then", "else", "{", ";;"].iter().any(|end| line.ends_with(end))
            || (line.ends_with(')') && !line.contains('('));
        text.push_str(if goes_on { " " } else { "; " });
    }
    text.truncate(text.trim_end_matches([';', ' ']).len());
    text
}

/// A text as a shell can be told it through any other one: what might have a meaning goes by its number.
fn word(text: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._:@%+,-".contains(byte);
    if text.iter().all(plain) {
        return format!("\"{}\"", String::from_utf8_lossy(text));
    }
    let numbers: String = text.iter().map(|byte| format!("\\0{byte:03o}")).collect();
    format!("$(printf %b \"{numbers}\")")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::options::Options;
    use crate::connect::request::{Ending, Kind, Secret, Way};

    fn request() -> Request {
        Request { cache_dir: Some("/a b".into()), ..Options::new(Way::Local).request }
    }

    #[test]
    fn the_command_can_be_told_to_any_shell() {
        let token = Token::new();
        let method = Method::new(Kind::Ssh, Ending::ForShell, String::new());
        let command = token.command(&request(), &method, "it's $HOME!", "x86_64:1 amd64:1");
        assert!(!command.contains(['\'', '\n', '!']) && !command.contains(r"\\"), "{command}");
        assert!(!command.contains(&token.mark()));
        let quoted = format!("ls: cannot access '{command}': No such file");
        assert_eq!(token.without_script(quoted), "ls: cannot access 'SCRIPT': No such file");
        let checked = std::process::Command::new("sh").args(["-n", "-c", &command]).status().unwrap();
        assert!(checked.success(), "{command}");
    }

    #[test]
    fn what_is_secret_or_not_known_yet_does_not_stand_in_the_command() {
        let mut request = request();
        let mut method = Method::new(Kind::Sudo, Ending::Arguments, String::new());
        assert!(is_alone(&request, &method));
        method.prompt = Some(Prompt::Password);
        method.password = Some(Secret::new("hunter2".to_owned()));
        let command = Token::new().command(&request, &method, "name", "");
        assert!(command.contains("alone=0;") && !command.contains("hunter2"), "{command}");
        method.password = None;
        request.env.push(("KEY".into(), "hunter2".into()));
        let command = Token::new().command(&request, &method, "name", "");
        assert!(command.contains("alone=0;") && !command.contains("hunter2"), "{command}");
    }

    #[test]
    fn words_come_through_a_shell_as_they_are() {
        for text in ["plain/._:@%+,-", "it's $HOME \"and\" `more` \\ ! % *", "é"] {
            let script = format!("set -f; w={}; printf \"%s\" \"$w\"", word(text.as_bytes()));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text, "{script}");
        }
    }
}
