//! A host to log in to: a real sshd in a mount namespace of its own, where its users, their passwords and
//! their rights are those of the test. Nothing of this machine changes.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mitogen_service::{Context, Router, Ssh};
use mitogen_service_tests::{Watched, within};
use tempfile::TempDir;

use crate::support::{LONG, children_of, has, skip};

/// The users: name, number, login shell.
const USERS: [(&str, u32, &str); 9] = [
    ("joe", 4001, "/bin/bash"),
    ("ann", 4002, "/bin/dash"),
    ("bob", 4003, "/busybox-sh"),
    ("loud", 4004, "/bin/bash"),
    ("shut", 4005, "/usr/sbin/nologin"),
    ("noexec", 4006, "/bin/sh"),
    ("tiny", 4007, "/bin/sh"),
    ("tess", 4008, "/bin/sh"),
    ("fixed", 4009, "/bin/sh"),
];

/// What the users' passwords are.
pub(crate) const PASSWORD: &str = "open sesame";
/// What root's is.
pub(crate) const ROOT_PASSWORD: &str = "roots own";

const HASH: &str = "$6$mitogen$saTZ9xHnOb/PNrUgIwY8ER.Zawe9mbNKJsVts7jyzF2gXzzLXCyPDrtCocvcIiQAW5fXgEhGUaDzrC69AfOKE.";
const ROOT_HASH: &str =
    "$6$mitogen$HQpEqwj9iid68MLCtmTd0sk6o7zt7dgKV8yYFXR8/99EANqsqThaOzrFgLjPyBVOV0N7afI766NqmD7BeiN.3.";

/// joe is asked for his password, ann is not, tess needs a terminal, and nobody else may do anything.
const SUDOERS: &str = "Defaults !lecture\nroot ALL=(ALL:ALL) ALL\njoe ALL=(ALL:ALL) ALL\n\
    ann ALL=(ALL:ALL) NOPASSWD: ALL\nDefaults:tess requiretty, use_pty\ntess ALL=(ALL:ALL) ALL\n";

/// Puts the files of the test in place, and becomes the command.
const SETUP: &str = r#"set -e
cd "$1"; shift
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd
mount -t tmpfs -o mode=1777 tmpfs /var/tmp
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=700 tmpfs ~root
for file in passwd shadow group sudoers; do mount --bind "$file" "/etc/$file"; done
mount -t tmpfs -o noexec,mode=1777 tmpfs home/noexec
chown 4006 home/noexec
mount -t tmpfs -o size=256k,mode=700,uid=4007 tmpfs home/tiny
mount -t tmpfs -o ro,mode=700,uid=4009 tmpfs home/fixed
if [ -d locale ]; then mount --bind locale /usr/lib/locale; fi
exec "$@"
"#;

/// Runs a test in a world of its own, within a bound, where that can be.
pub(crate) fn in_world(test: impl FnOnce(&World, &Router) + Send + 'static) {
    within(LONG, || {
        let Some(world) = World::new() else { return };
        let router = Router::builder().build().unwrap();
        test(&world, &router);
    });
}

/// An sshd and what belongs to it.
pub(crate) struct World {
    dir: TempDir,
    address: String,
    port: u16,
    sshd: Child,
}

impl World {
    /// Starts an sshd; `None` where that cannot be, with the reason.
    pub(crate) fn new() -> Option<Self> {
        Self::with("")
    }

    /// The same with more lines in its configuration.
    pub(crate) fn with(config: &str) -> Option<Self> {
        Self::at(config, None)
    }

    /// The same in a network namespace of this name, where it has this address.
    pub(crate) fn at(config: &str, net: Option<(&str, &str)>) -> Option<Self> {
        if !has(&["sshd", "ssh", "ssh-keygen", "sudo", "unshare", "busybox"]) || !may_mount() {
            return None;
        }
        let dir = tempfile::Builder::new().prefix("mitogen-service-world-").tempdir().unwrap();
        let path = dir.path();
        // Its users come by here.
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        accounts(path);
        for key in ["host_key", "user_key"] {
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path.join(key)).status();
            assert!(made.unwrap().success());
        }
        fs::copy(path.join("user_key.pub"), path.join("authorized_keys")).unwrap();
        // Somebody else may take the port between the two.
        (0..5).find_map(|_| Self::listen(dir.path(), config, net)).map(|(port, sshd)| {
            let address = net.map_or("127.0.0.1", |(_, address)| address).to_owned();
            let world = Self { dir, address, port, sshd };
            world.configure_client();
            world
        })
    }

    fn listen(path: &Path, config: &str, net: Option<(&str, &str)>) -> Option<(u16, Child)> {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let file = path.join("sshd_config");
        let dir = path.display();
        // In a network of its own it has all addresses there are.
        let address = net.map_or("127.0.0.1", |_| "0.0.0.0");
        let text = format!(
            "{config}\nPort {port}\nListenAddress {address}\nHostKey {dir}/host_key\nPidFile none\nUsePAM no\n\
             AuthorizedKeysFile {dir}/authorized_keys\nStrictModes no\nPermitRootLogin yes\n\
             PasswordAuthentication yes\nKbdInteractiveAuthentication no\nMaxStartups 300\nMaxSessions 100\nPrintMotd no\n"
        );
        fs::write(&file, text).unwrap();
        let sshd = Command::new("sh").args(["-c", "PATH=$PATH:/usr/sbin command -v sshd"]).output().unwrap().stdout;
        let sshd = String::from_utf8(sshd).unwrap();
        let mut command = inside(path, net.map(|(name, _)| name));
        command.args([sshd.trim(), "-D", "-e", "-f"]).arg(&file);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = String::new();
        loop {
            let Some(Ok(line)) = lines.next() else {
                let _ = child.wait();
                eprintln!("sshd has not started: {seen}");
                return None;
            };
            writeln!(seen, "{line}").unwrap();
            if line.starts_with("Server listening") {
                break;
            }
        }
        // Read on, so that it can go on writing.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Some((port, child))
    }

    /// The client's configuration: any host whose name begins with `host` is this one.
    fn configure_client(&self) {
        let dir = self.path().display();
        let key = fs::read_to_string(self.path().join("host_key.pub")).unwrap();
        let known = format!("[{}]:{} {key}", self.addresses(), self.port);
        fs::write(self.path().join("known_hosts"), known).unwrap();
        let text = format!(
            "Host host*\n  HostName {}\n  Port {}\n  IdentityFile {dir}/user_key\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile {dir}/known_hosts\n  GlobalKnownHostsFile /dev/null\n",
            self.address, self.port
        );
        fs::write(self.path().join("ssh_config"), text).unwrap();
        self.script("ssh", &format!("echo $$ >{dir}/client 2>/dev/null\nexec ssh -F {dir}/ssh_config \"$@\"\n"));
    }

    /// The pattern of its addresses: those beside the one in a network of its own are the same host.
    fn addresses(&self) -> String {
        match self.address.rsplit_once('.') {
            Some((network, _)) if self.address != "127.0.0.1" => format!("{network}.*"),
            _ => self.address.clone(),
        }
    }

    /// A program of this world.
    pub(crate) fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Logs in as this user, by key. How long that takes on a busy machine is not what is tested.
    pub(crate) fn ssh(&self, router: &Router, user: &str) -> Ssh {
        router.ssh("host").ssh_path(self.path().join("ssh")).user(user).connect_timeout(LONG)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn home(&self, user: &str) -> PathBuf {
        self.path().join("home").join(user)
    }

    /// The executables in a user's cache.
    pub(crate) fn cached(&self, user: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.home(user).join(".cache/mitogen-service")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// The number of the ssh that was started last.
    pub(crate) fn client(&self) -> u32 {
        fs::read_to_string(self.path().join("client")).unwrap().trim().parse().unwrap()
    }

    /// The sshd's number; its sessions are its children.
    pub(crate) fn sshd(&self) -> u32 {
        self.sshd.id()
    }

    /// Teaches this world French, as far as its programs know it; what runs in it from now on can speak so.
    pub(crate) fn learn_french(&self) -> bool {
        let dir = self.path().join("locale");
        fs::create_dir(&dir).unwrap();
        let made = Command::new("localedef").args(["-i", "fr_FR", "-f", "UTF-8"]).arg(dir.join("fr_FR.UTF-8")).output();
        match made {
            Ok(output) if output.status.success() => true,
            other => skip(&format!("no French can be made here: {other:?}")),
        }
    }

    /// A context of a user of this world, with nothing in between but `su` of root. The user speaks French, where
    /// that is [there](Self::learn_french).
    pub(crate) fn user(&self, router: &Router, name: &str) -> Context {
        let mut command = self.inside();
        command.extend(["env", "LANG=fr_FR.UTF-8", "LC_ALL=fr_FR.UTF-8", "su", name, "-c"].map(str::to_owned));
        router.command(command).through_shell().name(name).connect_timeout(LONG).connect().unwrap()
    }

    /// A command that runs another one in this world, as root.
    pub(crate) fn inside(&self) -> Vec<String> {
        let command = inside(self.path(), None);
        let args = command.get_args().map(|arg| arg.to_str().unwrap().to_owned());
        ["unshare".to_owned()].into_iter().chain(args).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A session whose link was cut would wait for its client for hours.
        let sessions = children_of(self.sshd.id());
        let _ = self.sshd.kill();
        for (session, _) in sessions {
            let of_user = children_of(session);
            for (process, _) in of_user.into_iter().chain([(session, String::new())]) {
                if let Some(process) = Watched::find(process) {
                    process.kill();
                }
            }
        }
        let _ = self.sshd.wait();
    }
}

fn inside(path: &Path, net: Option<&str>) -> Command {
    let mut command = Command::new(if net.is_some() { "ip" } else { "unshare" });
    if let Some(net) = net {
        command.args(["netns", "exec", net, "unshare"]);
    }
    command.args(["--mount", "--", "sh", "-c", SETUP, "sh"]).arg(path);
    command
}

fn may_mount() -> bool {
    let output = Command::new("unshare").args(["--mount", "--", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    let output = output.unwrap();
    output.status.success() || skip(&format!("cannot mount: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn accounts(path: &Path) {
    let read = |file: &str| fs::read_to_string(file).unwrap();
    let mut passwd = String::new();
    let mut shadow = format!("root:{ROOT_HASH}:19000:0:99999:7:::\n");
    let mut group = read("/etc/group");
    for line in read("/etc/passwd").lines() {
        writeln!(passwd, "{line}").unwrap();
        let name = line.split(':').next().unwrap();
        if name != "root" {
            writeln!(shadow, "{name}:*:19000:0:99999:7:::").unwrap();
        }
    }
    if !passwd.contains("\nsshd:") {
        writeln!(passwd, "sshd:x:4000:65534::/run/sshd:/usr/sbin/nologin").unwrap();
    }
    let busybox = path.join("busybox-sh");
    fs::write(&busybox, "#!/bin/sh\nexec busybox sh \"$@\"\n").unwrap();
    fs::set_permissions(&busybox, fs::Permissions::from_mode(0o755)).unwrap();
    for (name, number, shell) in USERS {
        let home = path.join("home").join(name);
        fs::create_dir_all(&home).unwrap();
        chown(&home, Some(number), Some(number)).unwrap();
        let shell = if shell == "/busybox-sh" { busybox.display().to_string() } else { shell.to_owned() };
        writeln!(passwd, "{name}:x:{number}:{number}::{}:{shell}", home.display()).unwrap();
        writeln!(shadow, "{name}:{HASH}:19000:0:99999:7:::").unwrap();
        writeln!(group, "{name}:x:{number}:").unwrap();
    }
    fs::write(path.join("home/loud/.bashrc"), "echo Welcome to a loud host\nprintf 'no end of line'\n").unwrap();
    for (name, text, mode) in [
        ("passwd", &*passwd, 0o644),
        ("shadow", &*shadow, 0o600),
        ("group", &*group, 0o644),
        ("sudoers", SUDOERS, 0o440),
    ] {
        let file = path.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }
}
