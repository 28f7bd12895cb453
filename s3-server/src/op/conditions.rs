//! Conditional headers, from the request to the store.

use http::{HeaderMap, header};
use larder_storage::objects::{
    ConditionFailed, IfMatch, ObjectInfo, ReadConditions, WriteConditions,
};

use super::{Call, call::text};
use crate::{
    error::{S3Code, S3Error, S3Result},
    http_date,
};

/// The four headers of a conditional read, or those of a copy's source.
#[expect(
    clippy::struct_field_names,
    reason = "the names are those of the headers"
)]
struct Names {
    if_match: &'static str,
    if_none_match: &'static str,
    if_modified_since: &'static str,
    if_unmodified_since: &'static str,
}

const READ: Names = Names {
    if_match: "if-match",
    if_none_match: "if-none-match",
    if_modified_since: "if-modified-since",
    if_unmodified_since: "if-unmodified-since",
};

const COPY: Names = Names {
    if_match: "x-amz-copy-source-if-match",
    if_none_match: "x-amz-copy-source-if-none-match",
    if_modified_since: "x-amz-copy-source-if-modified-since",
    if_unmodified_since: "x-amz-copy-source-if-unmodified-since",
};

/// Checks a GET's or HEAD's conditions.
///
/// # Errors
/// [`S3Code::NotModified`], [`S3Code::PreconditionFailed`].
pub(super) fn check_read(headers: &HeaderMap, info: &ObjectInfo) -> S3Result<()> {
    check(headers, &READ, info).map_err(|failed| match failed {
        ConditionFailed::NotModified => not_modified(info),
        ConditionFailed::PreconditionFailed { which } => precondition(which),
    })
}

/// Checks a copy's conditions on its source, none of which may answer `304`.
///
/// # Errors
/// [`S3Code::PreconditionFailed`].
pub(super) fn check_copy(headers: &HeaderMap, info: &ObjectInfo) -> S3Result<()> {
    check(headers, &COPY, info).map_err(|failed| match failed {
        ConditionFailed::NotModified if headers.contains_key(COPY.if_none_match) => {
            precondition("x-amz-copy-source-If-None-Match")
        }
        ConditionFailed::NotModified => precondition("x-amz-copy-source-If-Modified-Since"),
        ConditionFailed::PreconditionFailed { which: "If-Match" } => {
            precondition("x-amz-copy-source-If-Match")
        }
        ConditionFailed::PreconditionFailed { .. } => {
            precondition("x-amz-copy-source-If-Unmodified-Since")
        }
    })
}

fn check(headers: &HeaderMap, names: &Names, info: &ObjectInfo) -> Result<(), ConditionFailed> {
    let value = |name: &'static str| text(headers, name).map(str::to_owned);
    let date = |name: &'static str| text(headers, name).and_then(http_date::parse);
    let conditions = ReadConditions {
        if_match: value(names.if_match),
        if_none_match: value(names.if_none_match),
        if_modified_since: date(names.if_modified_since),
        if_unmodified_since: date(names.if_unmodified_since),
    };
    if conditions == ReadConditions::default() {
        return Ok(());
    }
    conditions.check(&info.etag, info.modified_unix_millis)
}

/// The conditions of a write: those of its headers, and that there is nothing yet where the caller may overwrite nothing.
///
/// # Errors
/// [`S3Code::NotImplemented`] for an `If-None-Match` other than `*`, as AWS has it.
pub(super) fn of_write(call: &Call<'_>) -> S3Result<WriteConditions> {
    let asked = of_headers(call.headers())?;
    Ok(WriteConditions {
        if_none_match_any: asked.if_none_match_any || call.must_be_new,
        ..asked
    })
}

fn of_headers(headers: &HeaderMap) -> S3Result<WriteConditions> {
    let if_none_match_any = match text(headers, header::IF_NONE_MATCH) {
        None => false,
        Some("*") => true,
        Some(_) => {
            return Err(S3Error::new(S3Code::NotImplemented)
                .element("Header", "If-None-Match")
                .element(
                    "additionalMessage",
                    "We don't accept the provided value of If-None-Match header for this API",
                ));
        }
    };
    Ok(WriteConditions {
        if_match: of_match(headers),
        if_none_match_any,
        if_unchanged: None,
    })
}

/// The condition of a delete.
///
/// # Errors
/// [`S3Code::NotImplemented`] for conditions that AWS has for directory buckets only: to ignore one
/// would delete what the client meant to keep.
pub(super) fn of_delete(headers: &HeaderMap) -> S3Result<WriteConditions> {
    const UNBUILT: [&str; 2] = ["x-amz-if-match-last-modified-time", "x-amz-if-match-size"];
    if let Some(name) = UNBUILT.iter().find(|&&name| headers.contains_key(name)) {
        return Err(S3Error::new(S3Code::NotImplemented).element("Header", *name));
    }
    Ok(WriteConditions {
        if_match: of_match(headers),
        ..WriteConditions::default()
    })
}

fn of_match(headers: &HeaderMap) -> Option<IfMatch> {
    text(headers, header::IF_MATCH).map(IfMatch::parse)
}

fn precondition(which: &'static str) -> S3Error {
    S3Error::new(S3Code::PreconditionFailed).element("Condition", which)
}

fn not_modified(info: &ObjectInfo) -> S3Error {
    let modified = http_date::header(info.modified_unix_millis);
    S3Error::new(S3Code::NotModified)
        .element("ETag", format!("\"{}\"", info.etag))
        .element("LastModified", modified.to_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_takes_only_a_star_as_if_none_match() {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, "*".parse().unwrap());
        assert!(of_headers(&headers).unwrap().if_none_match_any);
        headers.insert(header::IF_NONE_MATCH, "\"x\"".parse().unwrap());
        assert_eq!(
            of_headers(&headers).unwrap_err().code(),
            S3Code::NotImplemented
        );
        headers.remove(header::IF_NONE_MATCH);
        headers.insert(header::IF_MATCH, "*".parse().unwrap());
        assert_eq!(of_headers(&headers).unwrap().if_match, Some(IfMatch::Any));
    }
}
