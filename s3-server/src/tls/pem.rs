//! Certificates and keys in PEM files.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::TlsError;

/// More is no certificate. A bundle of all authorities of the world has 200 KiB.
const MAX_BYTES: u64 = 8 << 20;
/// Of a file's mode: everybody may read.
const READABLE_BY_ALL: u32 = 0o004;

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let bytes = fs::metadata(path).and_then(|metadata| {
        if metadata.len() > MAX_BYTES {
            return Err(std::io::Error::other("larger than 8 MiB"));
        }
        fs::read(path)
    });
    bytes.map_err(|error| wrong(path, error.to_string()))
}

fn wrong(path: &Path, reason: impl Into<String>) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

/// The certificates of a file, in order. Blocks.
///
/// # Errors
/// [`TlsError::File`], also where there is none.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let all = all.map_err(|error| wrong(path, format!("no PEM certificate: {error}")))?;
    if all.is_empty() {
        return Err(wrong(path, "no certificate in it (PEM is expected)"));
    }
    Ok(all)
}

/// The first private key of a file. Blocks. A file that everybody may read is used and logged: so it is in a Secret that Kubernetes mounts without a mode.
///
/// # Errors
/// [`TlsError::File`].
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(path)?;
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & READABLE_BY_ALL != 0) {
        tracing::warn!(key = %path.display(), "every user of this machine may read the private key: take the right away (chmod o-r)");
    }
    // The library's own words are left out: they could quote the file.
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|_| wrong(path, "no private key in it (unencrypted PEM is expected)"))
}

/// Trusts the authorities of a file. Blocks.
///
/// # Errors
/// [`TlsError::File`].
pub(super) fn add_roots(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
    for certificate in certificates(path)? {
        let added = roots.add(certificate);
        added.map_err(|error| wrong(path, error.to_string()))?;
    }
    Ok(())
}
