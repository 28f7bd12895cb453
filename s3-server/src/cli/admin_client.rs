//! What the subcommands ask a running server with that S3 and IAM have no word for: signed with the root credentials, JSON in and out.

use std::{ops::ControlFlow, path::Path};

use bytes::{Bytes, BytesMut};
use http::{Method, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::{Serialize, de::DeserializeOwned};

pub(crate) use super::connection::ConnectionArgs as AdminArgs;
use super::connection::{Connection, ConnectionError, MAX_ANSWER_BYTES, Outgoing};
use crate::{
    admin::{ErrorDocument, V1},
    credentials::Root,
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminClientError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("cannot write the request: {0}")]
    Encode(serde_json::Error),
    /// What the server says; the message tells what to do.
    #[error("{0}")]
    Refused(String),
    #[error("the answer is not that of a Larder server: {0}; look at --endpoint")]
    Malformed(serde_json::Error),
    #[error("the answer ended within a line: the server stopped or the connection broke")]
    CutOff,
}

type ClientResult<T> = Result<T, AdminClientError>;

/// Asks one server.
#[derive(Debug)]
pub(crate) struct AdminClient(Connection);

impl AdminClient {
    /// A client for the server of `args`; nothing is asked yet.
    pub(crate) fn new(args: &AdminArgs) -> ClientResult<Self> {
        Ok(Self(Connection::new(args)?))
    }

    /// A client of `root` for the server at `endpoint`, which may show a certificate of an authority in `ca_file`.
    #[cfg_attr(not(test), expect(dead_code, reason = "for tests of endpoints"))]
    pub(crate) fn with(
        endpoint: Uri,
        region: String,
        root: Root,
        ca_file: Option<&Path>,
    ) -> ClientResult<Self> {
        let identity = Some(root.into());
        Ok(Self(Connection::with(endpoint, region, identity, ca_file)?))
    }

    /// `GET` of an endpoint, with its query if any: the JSON as it came.
    pub(crate) fn get_bytes(&self, path: &str) -> ClientResult<Bytes> {
        self.ask(Method::GET, path, Bytes::new())
    }

    /// `GET` of an endpoint.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> ClientResult<T> {
        decode(&self.get_bytes(path)?)
    }

    /// `POST` to an endpoint.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> ClientResult<T> {
        decode(&self.ask(Method::POST, path, encode(body)?)?)
    }

    /// `POST` to an endpoint: the JSON as it came.
    pub(crate) fn post_bytes(&self, path: &str, body: &impl Serialize) -> ClientResult<Bytes> {
        self.ask(Method::POST, path, encode(body)?)
    }

    /// `GET` of an endpoint that answers in lines: each goes to `take` as it comes, until that breaks or the answer ends.
    pub(crate) fn get_lines(
        &self,
        path: &str,
        take: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ClientResult<()> {
        self.0
            .block_on(self.lines(Method::GET, path, Bytes::new(), take))
    }

    /// As [`AdminClient::get_lines`], for what changes something.
    pub(crate) fn post_lines(
        &self,
        path: &str,
        body: &impl Serialize,
        take: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ClientResult<()> {
        let body = encode(body)?;
        self.0.block_on(self.lines(Method::POST, path, body, take))
    }

    fn ask(&self, method: Method, path: &str, body: Bytes) -> ClientResult<Bytes> {
        let asked = async {
            let response = self.send(method, path, body).await?;
            Ok(self.0.collected(response.into_body()).await?)
        };
        self.0.block_on(self.0.in_time(asked))
    }

    async fn lines(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        mut take: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ClientResult<()> {
        let response = self.0.in_time(self.send(method, path, body)).await?;
        let mut body = response.into_body();
        let mut buffer = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.0.unreachable(&error))?;
            buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            while let Some(end) = buffer.iter().position(|&b| b == b'\n') {
                let line = buffer.split_to(end + 1);
                self.refused(&line).map_or(Ok(()), Err)?;
                if take(&line).is_break() {
                    return Ok(());
                }
            }
            if buffer.len() > MAX_ANSWER_BYTES {
                return Err(AdminClientError::CutOff);
            }
        }
        if buffer.is_empty() {
            Ok(())
        } else {
            Err(AdminClientError::CutOff)
        }
    }

    /// Sends a request; an answer that is no success is an error.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> ClientResult<Response<Incoming>> {
        let request = Outgoing {
            service: "s3",
            method,
            path: &format!("{V1}{path}"),
            headers: &[],
            body,
        };
        let response = self.0.send(&request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = self.0.collected(response.into_body()).await?;
        let text = || {
            let body = String::from_utf8_lossy(&body);
            let start: String = body.chars().take(200).collect();
            format!("the server refuses with {status}: {start}; look at --endpoint")
        };
        Err(self
            .refused(&body)
            .unwrap_or_else(|| AdminClientError::Refused(text())))
    }

    /// The error that an answer, or a line of one, is.
    fn refused(&self, json: &[u8]) -> Option<AdminClientError> {
        let ErrorDocument { error } = serde_json::from_slice(json).ok()?;
        let hint = match error.code.as_str() {
            // The message says already who may.
            "AccessDenied" => self.signed_with(),
            code => self.0.hint(code, &error.message),
        };
        Some(AdminClientError::Refused(error.message + &hint))
    }

    fn signed_with(&self) -> String {
        let identity = self.0.identity.as_ref();
        identity.map_or(String::new(), |identity| {
            format!(
                "; it was signed with {} of {}",
                identity.access_key, identity.origin
            )
        })
    }
}

fn encode(value: &impl Serialize) -> ClientResult<Bytes> {
    let json = serde_json::to_vec(value).map_err(AdminClientError::Encode)?;
    Ok(json.into())
}

/// The value in an answer.
pub(crate) fn decode<T: DeserializeOwned>(json: &[u8]) -> ClientResult<T> {
    serde_json::from_slice(json).map_err(AdminClientError::Malformed)
}
