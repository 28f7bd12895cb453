//! Clients of S3 for tests: what an application does with the keys that it was given.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, StatusCode};
use sha2::{Digest as _, Sha256};

use super::{
    ServerBackend, ServerSettings,
    connection::{Connection, Outgoing},
    xml::Element,
};
use crate::{
    backend::{BackendError, CredentialSource},
    provision::KeyPair,
};

/// An application with a key pair.
#[derive(Debug)]
pub(crate) struct App {
    connection: Connection,
}

/// What it asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    /// Of a bucket and a key, encoded, with the query.
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'static str, &'a str)],
    pub(crate) body: &'a str,
}

impl App {
    pub(crate) fn new(endpoint: &str, pair: &KeyPair) -> Self {
        Self::with(settings(endpoint, pair, None))
    }

    pub(crate) fn with(settings: ServerSettings) -> Self {
        Self {
            connection: Connection::new(settings).unwrap(),
        }
    }

    /// The body of a success, or the code of a refusal.
    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Result<String, String> {
        let headers = ask.headers.iter();
        let mut headers: Vec<_> = headers.map(|(k, v)| (*k, (*v).to_owned())).collect();
        // What is locked is taken with a checksum only.
        let sum = STANDARD.encode(Sha256::digest(ask.body));
        headers.push(("x-amz-checksum-sha256", sum));
        let request = Outgoing {
            service: "s3",
            method: ask.method.parse::<Method>().unwrap(),
            path: ask.path,
            headers: &headers,
            body: ask.body.to_owned().into(),
            subject: "",
        };
        match self.connection.ask(&request).await {
            Ok(answer) => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
            Err(BackendError::Denied { code, .. } | BackendError::Refused { code, .. }) => {
                Err(code)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<String, String> {
        self.ask(Ask {
            method,
            path,
            headers: &[],
            body,
        })
        .await
    }

    /// The identifier of a new upload.
    pub(crate) async fn begin_upload(&self, path: &str) -> Result<String, String> {
        let answer = self.send("POST", &format!("{path}?uploads="), "").await?;
        let root = Element::parse(answer.as_bytes()).unwrap();
        Ok(root.get("UploadId").to_owned())
    }
}

pub(crate) fn settings(endpoint: &str, pair: &KeyPair, ca_file: Option<&Path>) -> ServerSettings {
    ServerSettings {
        endpoint: endpoint.to_owned(),
        region: "us-east-1".to_owned(),
        ca_file: ca_file.map(Path::to_owned),
        credentials: CredentialSource::given(pair),
    }
}

pub(crate) fn backend(endpoint: &str, pair: &KeyPair) -> ServerBackend {
    ServerBackend::new(settings(endpoint, pair, None)).unwrap()
}

/// Whether somebody answers there that it is ready.
pub(crate) async fn is_ready(endpoint: &str, ca_file: Option<&Path>) -> bool {
    let pair = KeyPair {
        access_key: "nobody".to_owned(),
        secret_key: zeroize::Zeroizing::new("nothing".to_owned()),
    };
    let Ok(connection) = Connection::new(settings(endpoint, &pair, ca_file)) else {
        return false;
    };
    connection.status_of("/readyz").await == Some(StatusCode::OK)
}
