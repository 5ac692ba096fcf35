//! Certificates for a broker, by `openssl`.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The name in the broker's certificate.
pub(super) const NAME: &str = "localhost";

/// Makes `ca.pem`, `broker.pem` with `broker.key`, and `other.pem`, which signed nothing; false where there is no
/// `openssl`.
pub(crate) fn make(folder: &Path) -> bool {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj"];
    let request = |arguments: &[&str]| openssl(folder, &[&["req"], &key[..], arguments].concat());
    let Some(()) = request(&["/CN=ca", "-x509", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem"]) else {
        return false;
    };
    request(&["/CN=other", "-x509", "-days", "2", "-keyout", "other.key", "-out", "other.pem"]).unwrap();
    request(&["/CN=broker", "-keyout", "broker.key", "-out", "broker.csr"]).unwrap();
    fs::write(folder.join("names"), format!("subjectAltName=DNS:{NAME}\n")).unwrap();
    let sign =
        "x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out broker.pem";
    openssl(folder, &sign.split(' ').collect::<Vec<_>>()).unwrap();
    true
}

/// None if there is no such program.
fn openssl(folder: &Path, arguments: &[&str]) -> Option<()> {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().ok()?;
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(())
}
