//! Files of a configuration: bounded, and only regular ones. Opening a FIFO waits for its writer, a device may have no
//! end, and merely opening some devices has an effect.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::quantity::show_bytes;

/// More than any file of a configuration needs, in bytes; the documented configuration has 8 KB.
pub(crate) const MAX: u64 = 1 << 20;

/// The bytes of the file at `path`, or of the target of a symlink.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if it is neither a regular file nor a folder, [`ErrorKind::FileTooLarge`] if it has more
/// than `max` bytes, else the error of the system: a folder is one too.
pub(crate) fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    check(&fs::metadata(path)?)?;
    // It may have been replaced meanwhile: then too, nothing waits.
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    check(&file.metadata()?)?;
    let mut bytes = Vec::new();
    (&mut file).take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    let fits = u64::try_from(bytes.len()).is_ok_and(|len| len <= max);
    let too_large = || io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {}", show_bytes(max)));
    fits.then_some(bytes).ok_or_else(too_large)
}

/// Refuses what is neither a regular file nor a folder, which has an error of its own.
pub(crate) fn check(metadata: &fs::Metadata) -> io::Result<()> {
    let is_usable = metadata.is_file() || metadata.is_dir();
    is_usable.then_some(()).ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "not a regular file"))
}

/// Makes a FIFO, which no test may wait for.
#[cfg(test)]
pub(crate) fn fifo(path: &Path) {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link, pipe] = ["file", "link", "pipe"].map(|name| folder.path().join(name));
        fs::write(&file, "12345678").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        fifo(&pipe);
        assert_eq!(read(&link, 8).unwrap(), b"12345678");
        let error = read(&file, 7).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::FileTooLarge, "it has more than 7 B"));
        for other in [pipe.as_path(), Path::new("/dev/zero")] {
            let error = read(other, 8).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidInput, "not a regular file"));
        }
        assert_eq!(read(folder.path(), 8).unwrap_err().kind(), ErrorKind::IsADirectory);
        assert_eq!(read(&folder.path().join("absent"), 8).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
