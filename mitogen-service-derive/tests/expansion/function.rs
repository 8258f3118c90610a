/// Counts the bytes of a file.
#[function]
fn size(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.len())
}
