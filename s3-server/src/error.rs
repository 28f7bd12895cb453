//! The one error that Larder answers S3 clients with.
//!
//! Inside, every module has its own precise enum. At the edge it becomes an [`S3Error`]: a code of
//! AWS's error table, its message, and whatever the client needs beside them. The XML body is
//! written by [`crate::xml`], which also adds the request id.
//!
//! Invariants: each [`S3Code`] has exactly one name and one status, side by side in one exhaustive
//! table; a message never holds a secret (no signing key, no expected signature).

mod code;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

pub use code::S3Code;

/// The source of an [`S3Error`]: logged where the error is handled, never sent to the client.
pub type Source = Box<dyn StdError + Send + Sync + 'static>;

/// Result with an [`S3Error`].
pub type S3Result<T> = Result<T, S3Error>;

/// An error as an S3 client sees it. One pointer wide, so that `Result`s stay small.
pub struct S3Error(Box<Inner>);

struct Inner {
    code: S3Code,
    message: Cow<'static, str>,
    resource: Option<String>,
    extra: Vec<(&'static str, String)>,
    source: Option<Source>,
}

impl S3Error {
    /// An error with AWS's default message for the code.
    pub fn new(code: S3Code) -> Self {
        Self::with_message(code, code.default_message())
    }

    /// An error with a message of its own.
    pub fn with_message(code: S3Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            resource: None,
            extra: Vec::new(),
            source: None,
        }))
    }

    /// An `InternalError` that carries what went wrong for the log.
    pub fn internal(source: impl Into<Source>) -> Self {
        Self::new(S3Code::InternalError).source_of(source)
    }

    /// Sets the `Resource` element: the path of the bucket or object, as requested.
    #[must_use]
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.0.resource = Some(resource.into());
        self
    }

    /// Adds an element beside the usual ones, such as `Region`, `ArgumentName` or `BucketName`.
    #[must_use]
    pub fn element(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.extra.push((name, value.into()));
        self
    }

    /// Attaches the cause, for the log.
    #[must_use]
    pub fn source_of(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The S3 error code.
    pub fn code(&self) -> S3Code {
        self.0.code
    }

    /// The HTTP status that goes with the code.
    pub fn status(&self) -> http::StatusCode {
        self.0.code.status()
    }

    /// The message for the client.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The resource, where the operation set one.
    pub fn resource_path(&self) -> Option<&str> {
        self.0.resource.as_deref()
    }

    /// The elements beside code, message, resource and request id, in order.
    pub fn elements(&self) -> &[(&'static str, String)] {
        &self.0.extra
    }
}

impl From<S3Code> for S3Error {
    fn from(code: S3Code) -> Self {
        Self::new(code)
    }
}

impl fmt::Display for S3Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.as_str(), self.0.message)
    }
}

impl fmt::Debug for S3Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Error")
            .field("code", &self.0.code)
            .field("message", &self.0.message)
            .field("resource", &self.0.resource)
            .field("extra", &self.0.extra)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for S3Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|e| e as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_pointer_wide() {
        assert_eq!(size_of::<S3Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<(), S3Error>>(), size_of::<usize>());
    }

    #[test]
    fn keeps_what_it_was_given() {
        let e = S3Error::with_message(S3Code::InvalidArgument, "bad")
            .resource("/b/k")
            .element("ArgumentName", "max-keys")
            .element("ArgumentValue", "x")
            .source_of("cause");
        assert_eq!(e.code(), S3Code::InvalidArgument);
        assert_eq!(e.status(), http::StatusCode::BAD_REQUEST);
        assert_eq!(e.message(), "bad");
        assert_eq!(e.resource_path(), Some("/b/k"));
        assert_eq!(e.elements().len(), 2);
        assert_eq!(e.to_string(), "InvalidArgument: bad");
        assert_eq!(StdError::source(&e).expect("source").to_string(), "cause");
    }
}
