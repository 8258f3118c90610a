/// Counts things.
#[service(activate)]
impl Counters {
    /// Adds to a counter, and returns what it comes to.
    #[expose(policy = AllowAny)]
    fn add(&self, name: &str, #[arg(default = 1)] by: u64) -> Result<u64, Overflow> {
        self.counters.add(name, by)
    }

    /// Forgets a counter.
    #[expose(policy = AllowParents)]
    #[no_reply]
    fn forget(&self, name: String, caller: &Caller) {
        self.counters.forget(&name, caller);
    }

    /// Everything.
    #[expose(policy = AllowAny, policy = Self::is_open)]
    fn all(&self) -> BTreeMap<String, u64> {
        self.counters.all()
    }

    fn is_open(&self, _: &Caller) -> bool {
        true
    }
}
