//! When certificates end. Only the field of the end is read from them: whether they are valid is the client's concern.

use std::path::Path;

use async_nats::rustls::pki_types::CertificateDer;
use async_nats::rustls::pki_types::pem::PemObject as _;

use crate::quantity::second;
use crate::regular;

/// Tags of ASN.1.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When the first of the certificates in a file ends, Unix seconds; none if one cannot be read.
pub(crate) fn end_of_file(path: &Path) -> Option<i64> {
    end(&regular::read(path, regular::MAX).ok()?)
}

/// When the first of the certificates in a PEM text ends, Unix seconds; none if one cannot be read.
fn end(pem: &[u8]) -> Option<i64> {
    let ends = CertificateDer::pem_slice_iter(pem).map(|certificate| end_of(&certificate.ok()?));
    ends.collect::<Option<Vec<i64>>>()?.into_iter().min()
}

/// RFC 5280, 4.1: `Certificate { TBSCertificate { version?, serial, signature, issuer, Validity { from, to }, … } … }`.
fn end_of(der: &[u8]) -> Option<i64> {
    let (tag, certificate, _) = element(der)?;
    let (inner, content, _) = element(certificate)?;
    if (tag, inner) != (SEQUENCE, SEQUENCE) {
        return None;
    }
    let mut rest = content;
    if *rest.first()? == VERSION {
        rest = element(rest)?.2;
    }
    for _serial_signature_issuer in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, after) = element(validity)?;
    let (tag, end, _) = element(after)?;
    time(tag, std::str::from_utf8(end).ok()?)
}

/// The tag, the content and the rest.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        short @ ..0x80 => (usize::from(short), rest),
        long => {
            let count = usize::from(long & 0x7f);
            let (digits, rest) = rest.split_at_checked(count).filter(|_| count <= 4)?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDhhmmssZ` of 1950 to 2049, or with four digits of the year.
fn time(tag: u8, text: &str) -> Option<i64> {
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            (format!("{}{year}", if year < "50" { "20" } else { "19" }), rest)
        }
        GENERALIZED_TIME => text.split_at_checked(4).map(|(year, rest)| (year.to_owned(), rest))?,
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2);
    let (month, day, hours, minutes, seconds) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    second(&format!("{year}-{month}-{day}T{hours}:{minutes}:{seconds}Z"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Made by `openssl req -x509`. From 2050 on the time has four digits of the year.
    pub(crate) const NEAR: &str = "\
        -----BEGIN CERTIFICATE-----\n\
        MIIBbTCCAROgAwIBAgIUPYQcFqg5LB27dcJ91JkmG2tyVGkwCgYIKoZIzj0EAwIw\n\
        DDEKMAgGA1UEAwwBdDAeFw0yNjExMzAyMDU0MDNaFw0zMDAzMTQyMDU0MDNaMAwx\n\
        CjAIBgNVBAMMAXQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQrfr0Aixq8UcRW\n\
        MLmcMUvX5QlsDlzYaIr0yn3A+ZnYo5tcUytg+mWVEMXYom1CigPY79/8OdXV03Rk\n\
        aD8bduJqo1MwUTAdBgNVHQ4EFgQUIswONrhH/6iiJlfdh7K59It9EncwHwYDVR0j\n\
        BBgwFoAUIswONrhH/6iiJlfdh7K59It9EncwDwYDVR0TAQH/BAUwAwEB/zAKBggq\n\
        hkjOPQQDAgNIADBFAiAr9MRWJLoVKaM9gVhNQ7TLTMGdI7gw2VhseyEHKnE4SAIh\n\
        AM5rfGptSSZvLdJratPn8su7mAP/sgZIawuhXZc2hJ1X\n\
        -----END CERTIFICATE-----\n";
    const FAR: &str = "\
        -----BEGIN CERTIFICATE-----\n\
        MIIBcDCCARWgAwIBAgIUb36Uouc5X3DLDkZHHGm0W9YkDS4wCgYIKoZIzj0EAwIw\n\
        DDEKMAgGA1UEAwwBdDAgFw0yNjExMzAyMDU0MDNaGA8yMDYxMDIxOTIwNTQwM1ow\n\
        DDEKMAgGA1UEAwwBdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCYiA8ubUYBb\n\
        WwKpLuZr+oPMiWDMGkpXxdXUpPyjv0nldwrgWvysHuodc0TiZiKvW/iWGHrz7TFV\n\
        0xOTw6O9FgWjUzBRMB0GA1UdDgQWBBScgdcof3Z1RkHTlQAQQZJ3zJma8DAfBgNV\n\
        HSMEGDAWgBScgdcof3Z1RkHTlQAQQZJ3zJma8DAPBgNVHRMBAf8EBTADAQH/MAoG\n\
        CCqGSM49BAMCA0kAMEYCIQDzGyT+gfQMq/+XCZJsCbpc/5w1eJyD4CdRtKRr8kLj\n\
        zwIhAPIodqEJQGgOI1aNouXlBPYIMw70MkafQFu78pvOxKWs\n\
        -----END CERTIFICATE-----\n";

    #[test]
    fn end_of_a_certificate_is_read_from_it() {
        assert_eq!(end(NEAR.as_bytes()), second("2030-03-14T20:54:03Z"));
        assert_eq!(end(FAR.as_bytes()), second("2061-02-19T20:54:03Z"));
        assert_eq!(end(format!("{FAR}{NEAR}").as_bytes()), second("2030-03-14T20:54:03Z"));
        assert_eq!(end(b""), None);
    }

    #[test]
    fn damaged_certificates_do_not_panic() {
        let der = CertificateDer::from_pem_slice(NEAR.as_bytes()).unwrap();
        for length in 0..der.len() {
            let _none_or_some = end_of(&der[..length]);
        }
        for at in 0..der.len() {
            for bits in [0x00, 0x7f, 0x84, 0xff] {
                let mut damaged = der.to_vec();
                damaged[at] = bits;
                let _none_or_some = end_of(&damaged);
            }
        }
    }
}
