#[service(name = "forms", invoker = DeduplicatingInvoker::new().max_entries(10), vis = pub(crate), crate = crate::sdk)]
impl Forms {
    #[on_start]
    fn start(&self, scope: &ServiceScope) -> io::Result<()> {
        self.open(scope)
    }

    #[expose(policy = AllowAny)]
    #[arg_spec(path(check = is_absolute), note(check = |note| !note.is_empty()))]
    #[deprecated]
    fn read(&self, path: PathBuf, note: Option<&str>, #[arg(rename = "type", default)] kind: Kind) -> PathBuf {
        path
    }

    #[cfg(unix)]
    #[expose(policy = AllowAny, invoker = ConcurrentInvoker)]
    #[expect(clippy::unused_self)]
    fn later(&self, router: &Router, reply: Reply<Blob>) {}
}
