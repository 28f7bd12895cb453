//! The string builder under the writers.

use std::fmt::{Display, Write as _};

use crate::checksum::multipart::ObjectChecksum;

use super::super::time::push_iso8601;
use super::{ListedChecksum, Owner};

const PROLOG: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
const NAMESPACE: &str = " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

/// Builds one document.
pub(super) struct Writer {
    out: String,
    root: &'static str,
    url_encode: bool,
}

impl Writer {
    /// Starts a document in S3's namespace. `capacity_bytes` is a guess of its length.
    pub(super) fn new(root: &'static str, capacity_bytes: usize) -> Self {
        Self::start(root, NAMESPACE, capacity_bytes)
    }

    /// Starts a document without a namespace.
    pub(super) fn bare(root: &'static str) -> Self {
        Self::start(root, "", 512)
    }

    fn start(root: &'static str, attributes: &str, capacity_bytes: usize) -> Self {
        let mut out = String::with_capacity(capacity_bytes + 160);
        for part in [PROLOG, "<", root, attributes, ">"] {
            out.push_str(part);
        }
        Self {
            out,
            root,
            url_encode: false,
        }
    }

    /// URL-encodes what [`Writer::name_text`] writes from here on.
    pub(super) fn url_encoding(mut self, on: bool) -> Self {
        self.url_encode = on;
        self
    }

    /// Ends the document.
    pub(super) fn finish(mut self) -> String {
        self.close(self.root);
        self.out
    }

    pub(super) fn open(&mut self, name: &str) {
        self.out.push('<');
        self.out.push_str(name);
        self.out.push('>');
    }

    pub(super) fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// An element around what `content` writes.
    pub(super) fn nested(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.open(name);
        content(self);
        self.close(name);
    }

    /// An element with a text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.open(name);
        push_escaped(&mut self.out, text);
        self.close(name);
    }

    pub(super) fn text_if(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// An element with a key, prefix, marker or delimiter, URL-encoded where the client asked.
    pub(super) fn name_text(&mut self, name: &str, text: &str) {
        if self.url_encode {
            self.open(name);
            push_url_encoded(&mut self.out, text);
            self.close(name);
        } else {
            self.text(name, text);
        }
    }

    pub(super) fn name_text_if(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.name_text(name, text);
        }
    }

    /// An element with a number or boolean.
    pub(super) fn value(&mut self, name: &str, value: impl Display) {
        self.open(name);
        let written = write!(self.out, "{value}");
        debug_assert!(written.is_ok(), "writing to a string can't fail");
        self.close(name);
    }

    /// An element with a time, given in milliseconds since 1970.
    pub(super) fn time(&mut self, name: &str, unix_ms: i64) {
        self.open(name);
        push_iso8601(&mut self.out, unix_ms);
        self.close(name);
    }

    /// `ETag` with its quotes; `etag` comes without.
    pub(super) fn etag(&mut self, etag: &str) {
        self.out.push_str("<ETag>&quot;");
        push_escaped(&mut self.out, etag);
        self.out.push_str("&quot;</ETag>");
    }

    pub(super) fn owner(&mut self, name: &str, owner: Option<&Owner>) {
        let Some(owner) = owner else { return };
        self.nested(name, |w| {
            w.text("ID", &owner.id);
            w.text("DisplayName", &owner.display_name);
        });
    }

    pub(super) fn encoding_type(&mut self) {
        if self.url_encode {
            self.text("EncodingType", "url");
        }
    }

    pub(super) fn common_prefixes(&mut self, prefixes: &[&str]) {
        for prefix in prefixes {
            self.nested("CommonPrefixes", |w| w.name_text("Prefix", prefix));
        }
    }

    pub(super) fn listed_checksum(&mut self, checksum: Option<ListedChecksum>) {
        if let Some((algorithm, kind)) = checksum {
            self.text("ChecksumAlgorithm", algorithm.name());
            self.text("ChecksumType", kind.as_str());
        }
    }

    /// The checksum's value under its algorithm's name, and its type.
    pub(super) fn object_checksum(&mut self, checksum: Option<&ObjectChecksum>) {
        if let Some(checksum) = checksum {
            self.text(checksum.value.algorithm().element(), &checksum.to_text());
            self.text("ChecksumType", checksum.kind.as_str());
        }
    }
}

/// Appends text with `& < > "` and control characters escaped.
pub fn push_escaped(out: &mut String, text: &str) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[from..at]);
        from = at + 1;
        if escaped.is_empty() {
            let written = write!(out, "&#x{byte:X};");
            debug_assert!(written.is_ok(), "writing to a string can't fail");
        } else {
            out.push_str(escaped);
        }
    }
    out.push_str(&text[from..]);
}

/// URL-encodes text as `encoding-type=url` does: all but unreserved characters and the slash.
pub fn url_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    push_url_encoded(&mut out, text);
    out
}

/// A space becomes `%20`: AWS writes `+`, but only `%20` is read right by every client's decoder.
fn push_url_encoded(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'*' | b'/') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}
