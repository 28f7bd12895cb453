//! The few facts that the load generator takes from S3's XML.
//!
//! A scan for tags rather than a parser: a listing of 1,000 keys is read in a fraction of the time,
//! which would otherwise be counted as the client's share of a LIST. It must not be used where
//! the document's structure matters.

/// What a page of `ListObjectsV2` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// Number of objects.
    pub keys_count: u64,
    /// Number of common prefixes.
    pub prefixes_count: u64,
    /// Where the next page begins; `None` on the last page.
    pub next_token: Option<String>,
}

/// Counts the entries of a `ListObjectsV2` response.
pub fn parse_list_page(body: &[u8]) -> ListPage {
    let mut page = ListPage::default();
    for tag in body.split(|byte| *byte == b'<') {
        if tag.starts_with(b"Key>") {
            page.keys_count += 1;
        } else if tag.starts_with(b"CommonPrefixes>") {
            page.prefixes_count += 1;
        } else if let Some(token) = tag.strip_prefix(b"NextContinuationToken>") {
            page.next_token = Some(unescape(token)).filter(|token| !token.is_empty());
        }
    }
    page
}

/// The keys of a listing, unescaped.
pub fn list_keys(body: &[u8]) -> Vec<String> {
    let tags = body.split(|byte| *byte == b'<');
    tags.filter_map(|tag| tag.strip_prefix(b"Key>"))
        .map(unescape)
        .collect()
}

/// The text of the first element called `name`, unescaped.
pub fn first_text(body: &[u8], name: &str) -> Option<String> {
    let mut tags = body.split(|byte| *byte == b'<');
    tags.find_map(|tag| tag.strip_prefix(name.as_bytes())?.strip_prefix(b">"))
        .map(unescape)
}

/// `text` with XML's special characters escaped.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn unescape(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    if !text.contains('&') {
        return text.into_owned();
    }
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&#34;", "\"");
    let text = text
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&apos;", "'");
    text.replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keys_and_prefixes_and_finds_the_token() {
        let body = b"<?xml version=\"1.0\"?>\n<ListBucketResult><KeyCount>3</KeyCount>\
            <Contents><Key>a&amp;b</Key></Contents><Contents><Key>c</Key></Contents>\
            <CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes>\
            <NextContinuationToken>x&amp;=</NextContinuationToken></ListBucketResult>";
        let page = parse_list_page(body);
        assert_eq!((page.keys_count, page.prefixes_count), (2, 1));
        assert_eq!(page.next_token.as_deref(), Some("x&="));
        assert_eq!(list_keys(body), ["a&b", "c"]);
    }

    #[test]
    fn an_empty_token_means_the_last_page() {
        assert_eq!(
            parse_list_page(b"<NextContinuationToken></NextContinuationToken>"),
            ListPage::default()
        );
        assert_eq!(
            parse_list_page(b"<NextContinuationToken/>"),
            ListPage::default()
        );
        assert_eq!(parse_list_page(b""), ListPage::default());
    }

    #[test]
    fn finds_error_codes() {
        let body = b"<Error><Code>NoSuchKey</Code><Message>no &lt;such&gt; key</Message></Error>";
        assert_eq!(first_text(body, "Code").as_deref(), Some("NoSuchKey"));
        assert_eq!(
            first_text(body, "Message").as_deref(),
            Some("no <such> key")
        );
        assert_eq!(first_text(body, "Resource"), None);
        assert_eq!(first_text(b"plain text", "Code"), None);
    }

    #[test]
    fn escaping_is_undone_by_unescaping() {
        let text = "a<b>&\"c\"&amp;";
        assert_eq!(unescape(escape(text).as_bytes()), text);
    }
}
