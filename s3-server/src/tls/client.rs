//! TLS towards other servers: whom to trust.

use std::path::Path;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore};

use super::{TlsError, pem, provider};

/// Connects over `http://` and `https://`.
pub(crate) type HttpsConnector = hyper_rustls::HttpsConnector<HttpConnector>;

/// A client that trusts the system's authorities and those of `ca_file`. Blocks.
///
/// # Errors
/// [`TlsError::File`] for `ca_file`. A system without authorities is none: only `ca_file` is trusted there.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca_file {
        pem::add_roots(&mut roots, path)?;
    }
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// A connector of such a client. Blocks.
///
/// # Errors
/// As [`client_config`].
pub(crate) fn connector(ca_file: Option<&Path>) -> Result<HttpsConnector, TlsError> {
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(client_config(ca_file)?)
        .https_or_http()
        .enable_http1()
        .build())
}
