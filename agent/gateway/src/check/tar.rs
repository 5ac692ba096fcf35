//! An archive in the ustar format (POSIX.1-1988), which every `tar` reads: for each file a header of 512 bytes, the
//! content, and zeros up to a multiple of 512; two blocks of zeros at the end.

use std::io::{self, Write};

const BLOCK: usize = 512;
/// The longest name in a header, without the field for a prefix.
const NAME_MAX: usize = 100;

/// Writes the files, in the folder `folder`. Their time is `mtime_s`, their mode 0600.
///
/// # Errors
/// A name is too long, or writing fails.
pub(super) fn write(out: &mut impl Write, folder: &str, files: &[(String, Vec<u8>)], mtime_s: u64) -> io::Result<()> {
    for (name, content) in files {
        out.write_all(&header(&format!("{folder}/{name}"), content.len(), mtime_s)?)?;
        out.write_all(content)?;
        out.write_all(&[0; BLOCK][..content.len().next_multiple_of(BLOCK) - content.len()])?;
    }
    out.write_all(&[0; 2 * BLOCK])
}

fn header(name: &str, length: usize, mtime_s: u64) -> io::Result<[u8; BLOCK]> {
    if name.len() > NAME_MAX {
        return Err(io::Error::other(format!("{name}: a name in an archive has up to {NAME_MAX} bytes")));
    }
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{length:011o}\0"));
    put(136, &format!("{mtime_s:011o}\0"));
    // The sum counts its own field as spaces.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\0");
    put(263, "00");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn archive_is_unpacked_by_tar() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let long = vec![b'x'; 1_000];
        let files = [("empty".to_owned(), Vec::new()), ("b.txt".to_owned(), long.clone())];
        write(&mut std::fs::File::create(&path).unwrap(), "diagnosis", &files, 1_767_744_000).unwrap();
        let mut tar = Command::new("tar");
        let status = tar.arg("-xf").arg(&path).arg("-C").arg(folder.path()).status();
        assert!(status.unwrap().success());
        assert_eq!(std::fs::read(folder.path().join("diagnosis/b.txt")).unwrap(), long);
        assert_eq!(std::fs::read(folder.path().join("diagnosis/empty")).unwrap(), b"");
        let endless = write(&mut Vec::new(), "d", &[("n".repeat(99), Vec::new())], 0).unwrap_err();
        assert!(endless.to_string().contains("up to 100 bytes"));
    }
}
