//! Where an export goes: standard output, a file, or a pipe or device that exists.
//!
//! | `--out` names | what is written |
//! |---|---|
//! | nothing, or a regular file | a temporary file next to it, which gets the name when it is complete |
//! | a symlink | the same for its target; the link stays |
//! | a FIFO, a terminal or another character device | straight to it: it must not be replaced |
//! | a folder, a block device, a socket | nothing: it is an error of the command line |

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// The most symlinks that lead to each other, as in the system.
const LINKS_MAX: usize = 40;

/// A target that was looked at.
#[derive(Debug)]
pub(super) enum Target {
    Standard,
    /// A FIFO or a character device.
    Straight(PathBuf),
    /// The path without symlinks, and what is there now.
    Replaced {
        complete: PathBuf,
        present: Option<fs::Metadata>,
    },
}

impl Target {
    /// Looks at `path`; none is standard output. Nothing is changed.
    pub(super) fn of(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else { return Ok(Self::Standard) };
        let complete = resolved(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let present = match fs::metadata(path) {
            Ok(present) => present,
            Err(error) if error.kind() == ErrorKind::NotFound => return Self::new(path, complete),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let kind = present.file_type();
        match kind {
            _ if kind.is_file() => Ok(Self::Replaced { complete, present: Some(present) }),
            _ if kind.is_char_device() || kind.is_fifo() => Ok(Self::Straight(path.to_owned())),
            _ if kind.is_dir() => Err(format!("{} is a folder; name a file in it", path.display())),
            _ => Err(format!("{} is neither a file nor a pipe or terminal", path.display())),
        }
    }

    fn new(path: &Path, complete: PathBuf) -> Result<Self, String> {
        if complete.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(format!("\"{}\" is not the name of a file", path.display()));
        }
        let folder = complete.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(format!("the folder {} does not exist", folder.display()));
        }
        Ok(Self::Replaced { complete, present: None })
    }

    /// Whether opening it may wait, for the reader of a FIFO.
    pub(super) fn is_straight(&self) -> bool {
        matches!(self, Self::Straight(_))
    }

    /// Opens it.
    pub(super) fn open(self) -> io::Result<Output> {
        match self {
            Self::Standard => Ok(Output { to: Box::new(BufWriter::new(io::stdout())), part: None }),
            Self::Straight(path) => {
                let file = OpenOptions::new().write(true).open(&path).map_err(|error| at(&path, error))?;
                Ok(Output { to: Box::new(BufWriter::new(file)), part: None })
            }
            Self::Replaced { complete, present } => Part::make(complete, present.as_ref()),
        }
    }
}

/// The path that a chain of symlinks leads to, whether or not there is anything.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            // A relative target begins in the link's folder.
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => return Ok(path),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many symlinks"))
}

fn at(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

/// What is written; a file has its name when it is complete.
pub(super) struct Output {
    pub(super) to: Box<dyn Write>,
    part: Option<Part>,
}

struct Part {
    file: File,
    path: PathBuf,
    complete: PathBuf,
}

impl Part {
    fn make(complete: PathBuf, present: Option<&fs::Metadata>) -> io::Result<Output> {
        let mut path = OsString::from(&complete);
        path.push(".part");
        let path = PathBuf::from(path);
        let mode = present.map_or(0o666, |present| present.mode() & 0o777);
        let file = match OpenOptions::new().write(true).create_new(true).mode(mode).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(at(&path, format!("{error}: another export writes it, or one was killed; then remove it")));
            }
            Err(error) => return Err(at(&path, error)),
        };
        let to = Box::new(BufWriter::new(file.try_clone()?));
        let output = Output { to, part: Some(Self { file, path, complete }) };
        if let (Some(present), Some(part)) = (present, &output.part) {
            // Only root may give a file to another user; for the others it becomes theirs, with the same mode.
            drop(fchown(&part.file, Some(present.uid()), Some(present.gid())));
            // The umask may have removed bits.
            part.file.set_permissions(Permissions::from_mode(mode)).map_err(|error| at(&part.path, error))?;
        }
        Ok(output)
    }
}

impl Output {
    /// The file is complete, and gets its name.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.to.flush()?;
        if let Some(part) = &self.part {
            part.file.sync_all()?;
            fs::rename(&part.path, &part.complete)?;
        }
        self.part = None;
        Ok(())
    }
}

/// An incomplete file is removed: at an error, and at Ctrl-C.
impl Drop for Output {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            drop(fs::remove_file(&part.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn open(path: &Path) -> io::Result<Output> {
        Target::of(Some(path)).unwrap().open()
    }

    fn write(path: &Path) {
        let mut output = open(path).unwrap();
        output.to.write_all(b"time\n").unwrap();
        output.finish().unwrap();
    }

    fn refusal(path: impl AsRef<Path>) -> String {
        Target::of(Some(path.as_ref())).unwrap_err()
    }

    #[test]
    fn file_has_its_name_only_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let (path, part) = (folder.path().join("b1.csv"), folder.path().join("b1.csv.part"));
        let mut output = open(&path).unwrap();
        output.to.write_all(b"time\n").unwrap();
        assert!(part.exists() && !path.exists());
        let error = open(&path).err().unwrap().to_string();
        assert!(error.contains("b1.csv.part") && error.contains("remove it"), "{error}");
        output.finish().unwrap();
        assert!(!part.exists());
        assert_eq!(fs::read_to_string(&path).unwrap(), "time\n");
        drop(open(&path).unwrap());
        assert!(!part.exists() && path.exists(), "an incomplete one is removed, the last one stays");
    }

    #[test]
    fn replaced_file_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b1.csv");
        for mode in [0o600, 0o666, 0o444] {
            fs::write(folder.path().join("new"), "old").unwrap();
            fs::set_permissions(folder.path().join("new"), Permissions::from_mode(mode)).unwrap();
            fs::rename(folder.path().join("new"), &path).unwrap();
            write(&path);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
            assert_eq!(fs::read_to_string(&path).unwrap(), "time\n");
        }
    }

    #[test]
    fn symlink_stays_and_its_target_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let [link, second, file] = ["link", "second", "data/b1.csv"].map(|name| folder.path().join(name));
        symlink("second", &link).unwrap();
        symlink("data/b1.csv", &second).unwrap();
        for content in ["no file yet", "a file"] {
            write(&link);
            assert!(link.is_symlink() && second.is_symlink() && !file.is_symlink(), "{content}");
            assert_eq!(fs::read_to_string(&file).unwrap(), "time\n");
        }
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        symlink(&a, &b).unwrap();
        symlink(&b, &a).unwrap();
        assert!(refusal(&a).contains("symlinks"), "{}", refusal(&a));
    }

    #[test]
    fn fifo_and_device_are_written_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let [pipe, null] = ["pipe", "null"].map(|name| folder.path().join(name));
        crate::regular::fifo(&pipe);
        symlink("/dev/null", &null).unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read_to_string(pipe).unwrap()
        });
        assert!(matches!(Target::of(Some(&null)), Ok(Target::Straight(_))));
        assert!(matches!(Target::of(Some(&pipe)), Ok(Target::Straight(_))));
        write(&null);
        write(&pipe);
        assert_eq!(reader.join().unwrap(), "time\n");
        assert!(fs::metadata(&null).unwrap().file_type().is_char_device());
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    }

    #[test]
    fn other_targets_are_refused_before_anything_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, why) in [
            (folder.path().to_owned(), "is a folder; name a file in it"),
            (folder.path().join("absent/b1.csv"), "absent does not exist"),
            (folder.path().join("absent/"), "is not the name of a file"),
            (PathBuf::new(), "is not the name of a file"),
            (socket.join("b1.csv"), "Not a directory"),
            (socket.clone(), "is neither a file nor a pipe or terminal"),
        ] {
            assert!(refusal(&path).contains(why), "{}", refusal(&path));
        }
    }
}
