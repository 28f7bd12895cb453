//! The two places a signature comes in: the `Authorization` header and the presigned query.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::error::{Carrier, SigError};

/// Longest lifetime of a presigned URL, in seconds: one week.
const MAX_EXPIRES_SECONDS: i64 = 604_800;

pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// `AKID/20130524/us-east-1/s3/aws4_request`, split. The access key may hold slashes. Whether the service is right is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CredentialScope<'a> {
    pub(super) access_key: Cow<'a, str>,
    pub(super) date: Cow<'a, str>,
    pub(super) region: Cow<'a, str>,
    pub(super) service: Cow<'a, str>,
}

/// What the client sent to prove who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim<'a> {
    pub(super) carrier: Carrier,
    pub(super) scope: CredentialScope<'a>,
    pub(super) signed_headers: Cow<'a, str>,
    pub(super) signature: Cow<'a, str>,
}

/// A claim from the query, with the parameters that only it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PresignedClaim<'a> {
    pub(super) claim: Claim<'a>,
    pub(super) date: Cow<'a, str>,
    pub(super) expires_seconds: i64,
    pub(super) content_sha256: Option<Cow<'a, str>>,
    pub(super) session_token: Option<Cow<'a, str>>,
}

/// Parses `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`.
pub(super) fn parse_header(value: &str) -> Result<Claim<'_>, SigError> {
    let value = value.trim();
    let (scheme, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
    match scheme {
        ALGORITHM => parse_components(rest),
        // SigV2 and SigV4A.
        "AWS" | "AWS4-ECDSA-P256-SHA256" => Err(SigError::UnsupportedAlgorithm),
        _ => Err(SigError::UnsupportedAuthorizationType {
            value: scheme.to_owned(),
        }),
    }
}

fn parse_components(text: &str) -> Result<Claim<'_>, SigError> {
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for component in text.split(',') {
        let Some((name, value)) = component.trim().split_once('=') else {
            continue;
        };
        let slot = match name.trim() {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => continue,
        };
        *slot = Some(value.trim());
    }
    let (Some(credential), Some(signed_headers), Some(signature)) =
        (credential, signed_headers, signature)
    else {
        return Err(SigError::MissingComponents);
    };
    Ok(Claim {
        carrier: Carrier::Header,
        scope: parse_scope(Cow::Borrowed(credential), Carrier::Header)?,
        signed_headers: Cow::Borrowed(signed_headers),
        signature: Cow::Borrowed(signature),
    })
}

pub(super) fn parse_scope(
    text: Cow<'_, str>,
    carrier: Carrier,
) -> Result<CredentialScope<'_>, SigError> {
    match text {
        Cow::Borrowed(text) => split_scope(text, carrier),
        Cow::Owned(text) => split_scope(&text, carrier).map(CredentialScope::into_owned),
    }
}

fn split_scope(text: &str, carrier: Carrier) -> Result<CredentialScope<'_>, SigError> {
    let mut parts = text.rsplitn(5, '/');
    let (Some(terminal), Some(service), Some(region), Some(date), Some(access_key)) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return Err(SigError::CredentialMalformed { carrier });
    };
    if access_key.is_empty() {
        return Err(SigError::CredentialMalformed { carrier });
    }
    if date.len() != 8 || !date.bytes().all(|b| b.is_ascii_digit()) {
        return Err(SigError::CredentialDateMalformed {
            carrier,
            got: date.to_owned(),
        });
    }
    if terminal != "aws4_request" {
        return Err(SigError::WrongTerminal {
            carrier,
            got: terminal.to_owned(),
        });
    }
    Ok(CredentialScope {
        access_key: Cow::Borrowed(access_key),
        date: Cow::Borrowed(date),
        region: Cow::Borrowed(region),
        service: Cow::Borrowed(service),
    })
}

impl CredentialScope<'_> {
    fn into_owned<'b>(self) -> CredentialScope<'b> {
        CredentialScope {
            access_key: Cow::Owned(self.access_key.into_owned()),
            date: Cow::Owned(self.date.into_owned()),
            region: Cow::Owned(self.region.into_owned()),
            service: Cow::Owned(self.service.into_owned()),
        }
    }
}

/// The access key that a request claims to be signed with, whatever else is wrong with it, and where.
pub(crate) fn claimed_access_key(parts: &http::request::Parts) -> Option<(String, &'static str)> {
    let (credential, carrier) = if let Some(value) = parts.headers.get(http::header::AUTHORIZATION)
    {
        let (_, after) = value.to_str().ok()?.split_once("Credential=")?;
        let credential = after.split(',').next()?.trim().to_owned();
        (credential, Carrier::Header)
    } else {
        let query = parts.uri.query()?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let is_of_key = |name: &str| matches!(name, "X-Amz-Credential" | "AWSAccessKeyId");
        let (_, value) = pairs.find(|(name, _)| is_of_key(name))?;
        let credential = percent_decode_str(value).decode_utf8().ok()?.into_owned();
        (credential, Carrier::Query)
    };
    // Four parts follow the key in version 4, none in version 2; the key may hold slashes.
    let key = credential.rsplitn(5, '/').nth(4).unwrap_or(&credential);
    Some((key.to_owned(), carrier.as_str()))
}

/// Whether the query carries a `SigV4` signature, complete or not.
pub(crate) fn is_presigned(query: &str) -> bool {
    parameter_names(query).any(|n| {
        matches!(
            n,
            "X-Amz-Algorithm" | "X-Amz-Credential" | "X-Amz-Signature"
        )
    })
}

/// Whether the query carries a `SigV2` signature.
pub(crate) fn is_presigned_v2(query: &str) -> bool {
    let mut found = (false, false);
    for name in parameter_names(query) {
        found.0 |= name == "AWSAccessKeyId";
        found.1 |= name == "Signature";
    }
    found.0 && found.1
}

fn parameter_names(query: &str) -> impl Iterator<Item = &str> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name))
}

#[derive(Default)]
struct Parameters<'a> {
    algorithm: Option<Cow<'a, str>>,
    credential: Option<Cow<'a, str>>,
    date: Option<Cow<'a, str>>,
    expires: Option<Cow<'a, str>>,
    signed_headers: Option<Cow<'a, str>>,
    signature: Option<Cow<'a, str>>,
    content_sha256: Option<Cow<'a, str>>,
    session_token: Option<Cow<'a, str>>,
}

impl<'a> Parameters<'a> {
    fn read(query: &'a str) -> Self {
        let mut all = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let Some(slot) = all.slot(name) {
                *slot = Some(percent_decode_str(value).decode_utf8_lossy());
            }
        }
        all
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<Cow<'a, str>>> {
        Some(match name {
            "X-Amz-Algorithm" => &mut self.algorithm,
            "X-Amz-Credential" => &mut self.credential,
            "X-Amz-Date" => &mut self.date,
            "X-Amz-Expires" => &mut self.expires,
            "X-Amz-SignedHeaders" => &mut self.signed_headers,
            "X-Amz-Signature" => &mut self.signature,
            "X-Amz-Content-Sha256" => &mut self.content_sha256,
            "X-Amz-Security-Token" => &mut self.session_token,
            _ => return None,
        })
    }
}

/// Parses the presigned query.
pub(super) fn parse_query(query: &str) -> Result<PresignedClaim<'_>, SigError> {
    let found = Parameters::read(query);
    match found.algorithm.as_deref() {
        Some(ALGORITHM) => {}
        Some("AWS4-ECDSA-P256-SHA256") => return Err(SigError::UnsupportedAlgorithm),
        Some(_) => return Err(SigError::QueryAlgorithm),
        None => return Err(SigError::QueryIncomplete),
    }
    let (Some(credential), Some(date), Some(expires), Some(signed_headers), Some(signature)) = (
        found.credential,
        found.date,
        found.expires,
        found.signed_headers,
        found.signature,
    ) else {
        return Err(SigError::QueryIncomplete);
    };
    let expires_seconds = parse_expires(&expires)?;
    let scope = parse_scope(credential, Carrier::Query)?;
    let claim = Claim {
        carrier: Carrier::Query,
        scope,
        signed_headers,
        signature,
    };
    let (content_sha256, session_token) = (found.content_sha256, found.session_token);
    Ok(PresignedClaim {
        claim,
        date,
        expires_seconds,
        content_sha256,
        session_token,
    })
}

fn parse_expires(text: &str) -> Result<i64, SigError> {
    match text.parse::<i64>() {
        Err(_) => Err(SigError::ExpiresNotANumber),
        Ok(..0) => Err(SigError::ExpiresNegative),
        // AWS documents 1 as the smallest lifetime; 0 could never be used.
        Ok(0) => Err(SigError::ExpiresZero),
        Ok(n) if n > MAX_EXPIRES_SECONDS => Err(SigError::ExpiresTooLong),
        Ok(n) => Ok(n),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claimed(uri: &str, authorization: Option<&'static str>) -> Option<(String, &'static str)> {
        let mut request = http::Request::builder().uri(uri);
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        claimed_access_key(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn the_claimed_key_is_found_wherever_it_is() {
        let header = "AWS4-HMAC-SHA256 Credential=A/B/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        let of = |key: &str, carrier| Some((key.to_owned(), carrier));
        assert_eq!(claimed("/k", Some(header)), of("A/B", "header"));
        let query = "/k?a=b&X-Amz-Credential=AK%2F20260101%2Fus-east-1%2Fs3%2Faws4_request";
        assert_eq!(claimed(query, None), of("AK", "query"));
        assert_eq!(
            claimed("/k?AWSAccessKeyId=AK&Signature=s", None),
            of("AK", "query")
        );
        for nothing in [None, Some("Bearer token"), Some("AWS AK:signature")] {
            assert_eq!(claimed("/k?Credential=AK", nothing), None);
        }
        assert_eq!(claimed("/k", Some("Credential=")), of("", "header"));
    }

    #[test]
    fn parses_the_header_with_and_without_spaces() {
        let spaced = "AWS4-HMAC-SHA256 Credential=AK/20130524/us-east-1/s3/aws4_request, \
                      SignedHeaders=host;range, Signature=abc";
        let tight = "AWS4-HMAC-SHA256 Credential=AK/20130524/us-east-1/s3/aws4_request,\
                     SignedHeaders=host;range,Signature=abc";
        let claim = parse_header(spaced).expect("valid");
        assert_eq!(claim, parse_header(tight).expect("valid"));
        assert_eq!(claim.scope.access_key, "AK");
        assert_eq!(claim.scope.region, "us-east-1");
        assert_eq!(claim.signed_headers, "host;range");
    }

    #[test]
    fn an_access_key_may_hold_slashes() {
        let claim = split_scope("a/b/20130524/r/s3/aws4_request", Carrier::Header).expect("valid");
        assert_eq!(claim.access_key, "a/b");
    }

    #[test]
    fn other_mechanisms_are_told_apart() {
        let unsupported = |v| matches!(parse_header(v), Err(SigError::UnsupportedAlgorithm));
        assert!(unsupported("AWS AK:signature"));
        assert!(unsupported("AWS4-ECDSA-P256-SHA256 Credential=x"));
        let basic = parse_header("Basic eDp5");
        assert!(matches!(
            basic,
            Err(SigError::UnsupportedAuthorizationType { .. })
        ));
        assert!(matches!(
            parse_header("AWS4-HMAC-SHA256"),
            Err(SigError::MissingComponents)
        ));
        assert!(is_presigned_v2("AWSAccessKeyId=a&Expires=1&Signature=b"));
        assert!(!is_presigned_v2("Signature=b"));
    }

    #[test]
    fn lifetimes_are_one_second_to_a_week() {
        assert_eq!(parse_expires("1").expect("valid"), 1);
        assert_eq!(parse_expires("604800").expect("valid"), 604_800);
        assert!(matches!(parse_expires("0"), Err(SigError::ExpiresZero)));
        assert!(matches!(
            parse_expires("-1"),
            Err(SigError::ExpiresNegative)
        ));
        assert!(matches!(
            parse_expires("604801"),
            Err(SigError::ExpiresTooLong)
        ));
        assert!(matches!(
            parse_expires("1h"),
            Err(SigError::ExpiresNotANumber)
        ));
    }

    proptest! {
        #[test]
        fn parsers_never_panic(text in ".{0,200}") {
            drop(parse_header(&text));
            drop(parse_header(&format!("AWS4-HMAC-SHA256 {text}")));
            drop(parse_query(&text));
            drop(parse_query(&format!("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={text}&X-Amz-Date=&X-Amz-Expires=1&X-Amz-SignedHeaders=host&X-Amz-Signature=0")));
        }
    }
}
