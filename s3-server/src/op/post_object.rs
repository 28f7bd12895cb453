//! `POST Object`: an upload by an HTML form, which its policy document signs for.
//!
//! The fields come before the file, and are all that decides; so the file is stored as it comes in, and what follows it is nothing.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use larder_storage::objects::{
    BodyWriter, BucketName, ETag, ObjectKey, PutObject, Tags, WriteConditions, Written,
};

use super::{
    Call, Decided, authorize, bucket_lifecycle,
    call::{check_unbuilt_headers, invalid_argument, text},
    checksums,
    encryption::Encryption,
    get_object, ingest, metadata, object_acl, object_lock,
};
use crate::{
    accounts::Caller,
    app::App,
    audit::Trail,
    checksum::{Algorithm, ContentMd5, Expected, Hasher},
    error::{S3Code, S3Error, S3Result},
    hash::Md5Stream,
    http::{Incoming, Peer, RequestId, Response, Trace},
    post::{Event, Fields, Form, FormError, PartHead, PostPolicy, boundary},
    reply,
    route::{self, Operation, Query, Target},
    sigv4::{Carrier, Payload, PostSignature, Verified, chunked::Trailers},
    xml::{
        parse::tagging,
        write::{self, PostedObject},
    },
};

/// Of all fields before the file.
const MAX_FIELDS_BYTES: usize = 20_000;
const FILE: &str = "file";
/// Fields that an object keeps under the header of that name; what begins with `x-amz-` is one anyway.
const HEADERS: [&str; 6] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-md5",
    "content-type",
    "expires",
];
/// Fields that look like headers and are the signature.
const OF_SIGNATURE: [&str; 5] = [
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-signature",
];
/// Fields that are never changed by the name of the file.
const LITERAL: [&str; 3] = ["policy", "signature", "x-amz-signature"];

/// Whether a request is an upload by form.
pub(crate) fn is_form(parts: &Parts, target: &Target, query: &Query) -> bool {
    parts.method == Method::POST
        && route::operation(&parts.method, target, query, &parts.headers)
            .is_ok_and(|operation| operation == Operation::PostObject)
}

/// Answers it.
///
/// # Errors
/// What AWS answers; nothing is stored then.
pub(crate) async fn post_object(
    app: &App,
    parts: &Parts,
    bucket: &BucketName,
    query: Query,
    (peer, trail, id, trace): (Peer, &Trail, RequestId, &mut Trace),
    body: &mut Incoming,
) -> S3Result<Response> {
    ingest::check_length_is_said(parts)?;
    let content_type = text(&parts.headers, header::CONTENT_TYPE).unwrap_or_default();
    let boundary =
        boundary(content_type).ok_or_else(|| S3Error::new(S3Code::RequestIsNotMultiPartContent))?;
    let mut form = Form::new(&boundary);
    let (mut fields, file) = read_fields(&mut form, body).await?;
    expand(&mut fields, file.file_name.as_deref().unwrap_or_default());
    let key = key(&fields)?;
    let target = Target::Object(bucket.clone(), key.clone());
    trail.about(&target);
    let (caller, access_key) = caller(app, &fields)?;
    trail.asked_by(&caller, &access_key, "form");
    trace.is_of(&target, &caller);
    let policy = policy(app, &fields, bucket, &caller)?;
    let mut described = parts.clone();
    described.headers = headers(parts, &fields)?;
    let mut call = Call {
        app,
        store: app.store()?,
        parts: &described,
        query,
        caller,
        peer,
        trail,
        decided: Decided::default(),
        must_be_new: false,
        id,
        verified: Verified {
            access_key,
            carrier: Carrier::Query,
            payload: Payload::Unsigned,
            session_token: None,
            chunks: None,
        },
        body,
    };
    let checked = authorize::check(Operation::PostObject, &target, &call).await?;
    call.must_be_new = checked.must_be_new;
    let heralded = call.heralded(Operation::PostObject);
    let mut call = call;
    call.store = &heralded;
    let (written, tags, shown) =
        store(&mut call, &mut form, &fields, policy.as_ref(), bucket, &key).await?;
    let location = location(&call, bucket, &key);
    let mut response = answer(&fields, &location, (bucket, &key), &written);
    response.headers_mut().extend(shown);
    let what = (written.size, written.modified_unix_millis);
    bucket_lifecycle::describe(&call, (bucket, &key), what, &tags, response.headers_mut()).await;
    Ok(response)
}

/// The fields up to the file, and what the file is called.
async fn read_fields(form: &mut Form, body: &mut Incoming) -> S3Result<(Fields, PartHead)> {
    let mut fields = Fields::default();
    let mut current: Option<(String, Vec<u8>)> = None;
    let mut left = MAX_FIELDS_BYTES;
    let mut spend = |bytes: usize| {
        left = left
            .checked_sub(bytes)
            .ok_or_else(|| S3Error::new(S3Code::MaxPostPreDataLengthExceeded))?;
        Ok::<_, S3Error>(())
    };
    loop {
        match form.next_event().map_err(malformed)? {
            Event::NeedMore => form.feed(&more(body).await?),
            Event::Part(head) if head.name.eq_ignore_ascii_case(FILE) => return Ok((fields, head)),
            Event::Part(head) => {
                spend(head.name.len())?;
                current = Some((head.name, Vec::new()));
            }
            Event::Data(bytes) => {
                spend(bytes.len())?;
                if let Some((_, value)) = &mut current {
                    value.extend_from_slice(&bytes);
                }
            }
            Event::PartEnd => {
                if let Some((name, value)) = current.take() {
                    fields.push(&name, utf8(&name, value)?);
                }
            }
            Event::End => {
                let message = "POST requires exactly one file upload per request.";
                return Err(invalid_argument(FILE, "0", message));
            }
        }
    }
}

fn utf8(name: &str, value: Vec<u8>) -> S3Result<String> {
    String::from_utf8(value).map_err(|error| {
        let value = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let message = "The field is not encoded as UTF-8";
        S3Error::with_message(S3Code::InvalidArgument, message)
            .element("ArgumentName", name)
            .element("ArgumentValue", value)
    })
}

/// The next bytes of a form that has not ended yet.
async fn more(body: &mut Incoming) -> S3Result<Bytes> {
    match body.next().await {
        Some(Ok(bytes)) => Ok(bytes),
        Some(Err(error)) => Err(ingest::cut(error)),
        None => Err(S3Error::new(S3Code::IncompleteBody)),
    }
}

fn malformed(error: FormError) -> S3Error {
    S3Error::new(S3Code::MalformedPostRequest).source_of(error)
}

/// Puts the name of the file where a field asks for it: before the policy is looked at, as AWS does.
fn expand(fields: &mut Fields, file_name: &str) {
    // Some browsers send the whole path.
    let name = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut expanded = Fields::default();
    for (field, value) in fields.iter() {
        let is_literal = LITERAL.contains(&field);
        let value = if is_literal {
            value.to_owned()
        } else {
            value.replace("${filename}", name)
        };
        expanded.push(field, value);
    }
    *fields = expanded;
}

fn key(fields: &Fields) -> S3Result<ObjectKey> {
    let key = fields.get("key").filter(|key| !key.is_empty());
    route::parse_key(key.ok_or_else(|| lacks("key"))?)
}

/// Who signed the policy. A form without a signature is nobody's.
fn caller(app: &App, fields: &Fields) -> S3Result<(Caller, String)> {
    let Some(claimed) = signature(fields)? else {
        return Ok((Caller::Anonymous, String::new()));
    };
    let policy = fields.get("policy").ok_or_else(|| lacks("policy"))?;
    app.authenticate_post(policy, &claimed, fields.get("x-amz-security-token"))
}

fn lacks(field: &'static str) -> S3Error {
    let message = format!(
        "Bucket POST must contain a field named '{field}'.  If it is specified, please check the order of the fields."
    );
    S3Error::with_message(S3Code::InvalidArgument, message)
        .element("ArgumentName", field)
        .element("ArgumentValue", "")
}

fn signature(fields: &Fields) -> S3Result<Option<PostSignature<'_>>> {
    let has = |name: &str| fields.get(name).is_some();
    let need = |name: &'static str| fields.get(name).ok_or_else(|| lacks(name));
    if ["x-amz-signature", "x-amz-credential", "x-amz-algorithm"]
        .into_iter()
        .any(has)
    {
        return Ok(Some(PostSignature::V4 {
            algorithm: need("x-amz-algorithm")?,
            credential: need("x-amz-credential")?,
            date: need("x-amz-date")?,
            signature: need("x-amz-signature")?,
        }));
    }
    if !["signature", "awsaccesskeyid", "policy"]
        .into_iter()
        .any(has)
    {
        return Ok(None);
    }
    Ok(Some(PostSignature::V2 {
        access_key: need("awsaccesskeyid")?,
        signature: need("signature")?,
    }))
}

/// The policy that the form keeps to; only a form of nobody needs none.
fn policy(
    app: &App,
    fields: &Fields,
    bucket: &BucketName,
    caller: &Caller,
) -> S3Result<Option<PostPolicy>> {
    let Some(encoded) = fields.get("policy") else {
        return match caller {
            Caller::Anonymous => Ok(None),
            Caller::Account(_) | Caller::Member(_) => Err(lacks("policy")),
        };
    };
    // Browsers may break it into lines.
    let encoded: String = encoded.split_ascii_whitespace().collect();
    let json = STANDARD.decode(encoded).map_err(|_| {
        let message = "Invalid Policy: Invalid base64 encoding.";
        S3Error::with_message(S3Code::InvalidPolicyDocument, message)
    })?;
    let policy = PostPolicy::parse(&json)?;
    let now = i64::try_from(app.clock.unix_millis() / 1000).unwrap_or(i64::MAX);
    policy.check(bucket.as_str(), fields, now)?;
    Ok(Some(policy))
}

/// The request's headers, as if the fields had been sent as such: what they decide is decided as for a PUT.
fn headers(parts: &Parts, fields: &Fields) -> S3Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for name in [
        header::HOST,
        header::USER_AGENT,
        header::REFERER,
        header::ORIGIN,
        // They count only where a trusted proxy has written them.
        HeaderName::from_static("x-forwarded-for"),
        HeaderName::from_static("x-forwarded-proto"),
    ] {
        if let Some(value) = parts.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    for (name, value) in fields.iter() {
        let name = match name {
            "acl" => "x-amz-acl",
            name => name,
        };
        let is_kept = HEADERS.contains(&name) || name.starts_with("x-amz-");
        if !is_kept || OF_SIGNATURE.contains(&name) {
            continue;
        }
        let parsed = HeaderName::try_from(name).ok();
        let value_of = HeaderValue::from_bytes(value.as_bytes()).ok();
        let (Some(header), Some(text)) = (parsed, value_of) else {
            let error = S3Error::with_message(
                S3Code::InvalidArgument,
                "The field has a value that no header can have",
            );
            return Err(error
                .element("ArgumentName", name)
                .element("ArgumentValue", value));
        };
        headers.append(header, text);
    }
    super::call::check_readable(&headers)?;
    Ok(headers)
}

/// The object's tags, which are a document here.
fn tags(fields: &Fields) -> S3Result<Tags> {
    match fields.get("tagging") {
        Some(xml) => Ok(metadata::to_tags(tagging(xml.as_bytes())?)),
        None => Ok(Tags::default()),
    }
}

/// Stores the file; also what tags it got.
async fn store(
    call: &mut Call<'_>,
    form: &mut Form,
    fields: &Fields,
    policy: Option<&PostPolicy>,
    bucket: &BucketName,
    key: &ObjectKey,
) -> S3Result<(Written, Tags, HeaderMap)> {
    check_unbuilt_headers(call.headers())?;
    let acl = object_acl::of_new(bucket, call).await?;
    let headers = metadata::from_request(call.headers())?;
    let tags = tags(fields)?;
    call.must_be_new |= authorize::check_form(bucket, key, &tags, call).await?;
    let expected = Expected::from_headers(call.headers(), false)?;
    let content_md5 = ContentMd5::from_headers(call.headers())?;
    let lock = object_lock::from_headers(call.headers())?;
    let has_integrity = content_md5.is_some() || expected.algorithm().is_some();
    object_lock::check_write(call, bucket, &lock, has_integrity).await?;
    let encryption = Encryption::of_new(bucket, key, call).await?;
    let writer = encryption.writer(bucket, None, call).await?;
    let file = File {
        writer,
        md5: Md5Stream::new(&call.app.md5),
        hasher: Hasher::new(expected.algorithm().unwrap_or(Algorithm::DEFAULT)),
        bytes: 0,
        most: policy
            .and_then(PostPolicy::length)
            .map_or(ingest::MAX_BODY_BYTES, |range| {
                ingest::MAX_BODY_BYTES.min(*range.end())
            }),
    };
    let file = file.receive(form, call.body).await?;
    let least = policy
        .and_then(PostPolicy::length)
        .map_or(0, |range| *range.start());
    if file.bytes < least {
        return Err(S3Error::new(S3Code::EntityTooSmall)
            .element("ProposedSize", file.bytes.to_string())
            .element("MinSizeAllowed", least.to_string()));
    }
    let (checksum, md5) = (file.hasher.finish(), file.md5.finish().await);
    expected.check(expected.algorithm().map(|_| checksum), &Trailers::default())?;
    if let Some(content_md5) = content_md5 {
        content_md5.check(&md5)?;
    }
    let put = PutObject {
        bucket: bucket.clone(),
        key: key.clone(),
        etag: ETag {
            md5: encryption.tag(md5, call),
            parts: 0,
        },
        checksum: Some(checksums::to_stored(&checksum)),
        blob: file.writer.finish().await?,
        headers,
        tags: tags.clone(),
        conditions: WriteConditions {
            if_none_match_any: call.must_be_new,
            ..WriteConditions::default()
        },
        lock,
        acl,
    };
    let put = call.store.put_object(put).await;
    let written = put.map_err(|error| get_object::missing(error, key))?;
    let mut shown = HeaderMap::new();
    encryption.show(&mut shown);
    Ok((written, tags, shown))
}

/// The file of the form on its way to the disks.
struct File {
    writer: BodyWriter,
    md5: Md5Stream,
    hasher: Hasher,
    bytes: u64,
    /// More are refused.
    most: u64,
}

impl File {
    async fn receive(mut self, form: &mut Form, body: &mut Incoming) -> S3Result<Self> {
        loop {
            match form.next_event().map_err(malformed)? {
                Event::NeedMore => form.feed(&more(body).await?),
                Event::Data(bytes) => self.take(bytes).await?,
                Event::PartEnd => return Ok(self),
                Event::Part(_) | Event::End => return Err(malformed(FormError::NoBoundary)),
            }
        }
    }

    async fn take(&mut self, bytes: Bytes) -> S3Result<()> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.most {
            return Err(S3Error::new(S3Code::EntityTooLarge)
                .element("ProposedSize", self.bytes.to_string())
                .element("MaxSizeAllowed", self.most.to_string()));
        }
        self.md5.update(bytes.clone()).await;
        self.hasher.update(&bytes);
        Ok(self.writer.write(bytes).await?)
    }
}

fn answer(
    fields: &Fields,
    location: &str,
    (bucket, key): (&BucketName, &ObjectKey),
    written: &Written,
) -> Response {
    let etag = format!("\"{}\"", written.etag);
    let redirect = ["success_action_redirect", "redirect"]
        .into_iter()
        .find_map(|name| fields.get(name))
        .and_then(|to| redirected(to, bucket, key, &etag));
    let status = fields.get("success_action_status");
    let mut response = match (&redirect, status) {
        (Some(_), _) => reply::with_status(StatusCode::SEE_OTHER),
        (None, Some("200")) => reply::empty(),
        (None, Some("201")) => {
            let posted = PostedObject {
                location,
                bucket: bucket.as_str(),
                key: key.as_str(),
                etag: &written.etag.to_string(),
            };
            let mut response = reply::xml(posted.to_xml());
            *response.status_mut() = StatusCode::CREATED;
            response
        }
        _ => reply::no_content(),
    };
    let headers = response.headers_mut();
    reply::set(
        headers,
        header::LOCATION,
        redirect.as_deref().unwrap_or(location),
    );
    reply::set(headers, header::ETAG, &etag);
    checksums::set_stored(headers, written.checksum.as_ref());
    reply::set_version(headers, written.version);
    response
}

/// Where a form sends its browser next; `None` for what is no address.
fn redirected(to: &str, bucket: &BucketName, key: &ObjectKey, etag: &str) -> Option<String> {
    let uri: http::Uri = to.parse().ok()?;
    uri.scheme()?;
    uri.authority()?;
    let sign = if uri.query().is_some() { '&' } else { '?' };
    let (key, etag) = (write::url_encode(key.as_str()), write::url_encode(etag));
    Some(format!("{to}{sign}bucket={bucket}&key={key}&etag={etag}"))
}

/// The address of the object, by the way that the request came.
fn location(call: &Call<'_>, bucket: &BucketName, key: &ObjectKey) -> String {
    let (parts, scheme) = (call.parts, call.client().scheme());
    let of_uri = parts.uri.authority().map(ToString::to_string);
    let of_header = || text(&parts.headers, header::HOST).map(str::to_owned);
    let host = of_uri.or_else(of_header).unwrap_or_default();
    let key = write::url_encode(key.as_str());
    match route::host_bucket(&parts.uri, &parts.headers, &call.app.domains) {
        Some(_) => format!("{scheme}://{host}/{key}"),
        None => format!("{scheme}://{host}/{bucket}/{key}"),
    }
}
