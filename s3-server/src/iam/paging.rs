//! Lists in pages: `MaxItems`, `Marker`, `IsTruncated`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    document::{Node, text},
    error::{IamCode, IamError, IamResult, refused},
    form::Form,
};

const DEFAULT_ITEMS: u64 = 100;
const MAX_ITEMS: u64 = 1000;

/// The page of `all` that a request asks for. `all` is in the order of what `key` gives, which is unique.
pub(super) fn page<T>(
    form: &Form,
    all: impl Iterator<Item = T>,
    key: impl Fn(&T) -> String,
) -> IamResult<(Vec<T>, Vec<Node>)> {
    let max = form.number("MaxItems")?.unwrap_or(DEFAULT_ITEMS);
    if !(1..=MAX_ITEMS).contains(&max) {
        let message = format!(
            "1 validation error detected: Value '{max}' at 'maxItems' failed to satisfy constraint: Member must have value between 1 and {MAX_ITEMS}"
        );
        return refused(IamCode::ValidationError, message);
    }
    let after = form.get("Marker").map(parse_marker).transpose()?;
    let is_next = |item: &T| after.as_ref().is_none_or(|after| key(item) > *after);
    let count = usize::try_from(max).unwrap_or(usize::MAX);
    let mut items: Vec<T> = all.filter(is_next).take(count + 1).collect();
    let is_truncated = items.len() > count;
    items.truncate(count);
    let mut nodes = vec![text("IsTruncated", is_truncated.to_string())];
    if let Some(last) = items.last().filter(|_| is_truncated) {
        nodes.push(text("Marker", URL_SAFE_NO_PAD.encode(key(last))));
    }
    Ok((items, nodes))
}

fn parse_marker(marker: &str) -> IamResult<String> {
    let decoded = URL_SAFE_NO_PAD.decode(marker).ok();
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| IamError::new(IamCode::ValidationError, "Invalid Marker."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_each_item_once() {
        let all: Vec<_> = (0..7).map(|n| format!("k{n}")).collect();
        let (mut seen, mut marker) = (Vec::new(), String::new());
        for expected in [3, 3, 1] {
            let form = Form::parse(format!("MaxItems=3{marker}").as_bytes()).unwrap();
            let (items, nodes) = page(&form, all.iter(), |item| (*item).clone()).unwrap();
            assert_eq!(items.len(), expected);
            seen.extend(items.into_iter().cloned());
            if let Some(Node::Text("Marker", next)) = nodes.last() {
                marker = format!("&Marker={next}");
            }
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for text in ["MaxItems=0", "MaxItems=1001", "MaxItems=x", "Marker=%21"] {
            let form = Form::parse(text.as_bytes()).unwrap();
            let error = page(&form, [1].iter(), |_| String::new()).unwrap_err();
            assert_eq!(error.code(), IamCode::ValidationError, "{text}");
        }
    }
}
