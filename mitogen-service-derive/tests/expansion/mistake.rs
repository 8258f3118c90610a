#[service]
impl Files {
    #[expose(polcy = AllowAny)]
    fn read(&self, path: &Path) -> io::Result<Blob> {
        Ok(fs::read(path)?.into())
    }
}
