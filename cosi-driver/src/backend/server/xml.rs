//! XML, read as a tree and written as text. What a server sends is not trusted: depth is bounded, and entities but XML's own are refused.

use std::fmt;

use quick_xml::{
    escape::resolve_predefined_entity,
    events::{BytesRef, Event},
    reader::Reader,
};

/// Deeper than any answer of S3 or IAM.
const MAX_DEPTH: usize = 16;

/// An element with what is in it, which may be a secret: `Debug` shows none of it.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Element")
            .field("name", &self.name)
            .field("children", &self.children.len())
            .finish_non_exhaustive()
    }
}

impl Element {
    /// The root of a document; `None` where it is none.
    pub(super) fn parse(xml: &[u8]) -> Option<Self> {
        let mut reader = Reader::from_str(std::str::from_utf8(xml).ok()?);
        reader.config_mut().expand_empty_elements = true;
        let mut open: Vec<Self> = Vec::new();
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) if open.len() < MAX_DEPTH => open.push(Self {
                    name: start.local_name().as_ref().to_owned(),
                    ..Self::default()
                }),
                Event::End(_) => {
                    let done = open.pop()?;
                    match open.last_mut() {
                        Some(parent) => parent.children.push(done),
                        None => return Some(done),
                    }
                }
                Event::Text(text) => append(&mut open, &text.xml10_content()),
                Event::CData(text) => append(&mut open, &text.xml10_content()),
                Event::GeneralRef(reference) => append(&mut open, &resolve(&reference)?),
                Event::Decl(_) | Event::Comment(_) => {}
                _ => return None,
            }
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What is below `path`, such as `User/Arn`.
    pub(super) fn at(&self, path: &str) -> Option<&Self> {
        path.split('/').try_fold(self, |element, name| {
            element.children.iter().find(|child| child.name == name)
        })
    }

    /// The text of what is below `path`; empty where there is none.
    pub(super) fn get(&self, path: &str) -> &str {
        self.at(path).map_or("", |found| &found.text)
    }

    /// The number that is below `path`.
    pub(super) fn number<T: std::str::FromStr>(&self, path: &str) -> Option<T> {
        self.get(path).parse().ok()
    }

    /// The elements of this name that are directly in it.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The entries of a list below `path`.
    pub(super) fn list(&self, path: &str) -> &[Self] {
        self.at(path).map_or(&[], |list| &list.children)
    }

    /// As [`Element::list`], taken out.
    pub(super) fn into_list(self, path: &str) -> Vec<Self> {
        let found = path.split('/').try_fold(self, |element, name| {
            let mut children = element.children.into_iter();
            children.find(|child| child.name == name)
        });
        found.map_or_else(Vec::new, |list| list.children)
    }

    /// The text of this element.
    pub(super) fn get_own(&self) -> &str {
        &self.text
    }

    pub(super) fn children(&self) -> &[Self] {
        &self.children
    }
}

fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn resolve(reference: &BytesRef<'_>) -> Option<String> {
    if let Some(character) = reference.resolve_char_ref().ok()? {
        return Some(character.to_string());
    }
    resolve_predefined_entity(&reference.xml10_content()).map(str::to_owned)
}

/// `<name>` around what is XML already.
pub(super) fn group(name: &str, content: &str) -> String {
    format!("<{name}>{content}</{name}>")
}

/// `<name>` around a text.
pub(super) fn text(name: &str, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // Readers make a line feed of it otherwise.
            '\r' => out.push_str("&#xD;"),
            c => out.push(c),
        }
    }
    group(name, &out)
}

/// Whether XML can hold a text at all: it has no way to write most control characters.
pub(super) fn can_hold(text: &str) -> bool {
    let can = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().all(can)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_document_is_a_tree() {
        let xml = b"<?xml version=\"1.0\"?>\n<R xmlns=\"x\"><User><Arn>a&lt;&#66;</Arn></User> <L><m>1</m><m/></L><n>7</n></R>";
        let root = Element::parse(xml).unwrap();
        assert_eq!((root.name(), root.get("User/Arn")), ("R", "a<B"));
        assert_eq!(root.get("User/None"), "");
        assert_eq!(root.list("L").len(), 2);
        assert_eq!(root.number("n"), Some(7));
        assert_eq!(root.all("L").count(), 1);
    }

    #[test]
    fn what_is_no_document_is_none() {
        let deep = "<a>".repeat(40) + &"</a>".repeat(40);
        for text in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "<!DOCTYPE a><a/>",
            "<a>&b;</a>",
            &deep,
        ] {
            assert_eq!(Element::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Element::parse(b"\xff"), None);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(value in ".*") {
            prop_assume!(can_hold(&value));
            let root = Element::parse(text("a", &value).as_bytes()).unwrap();
            prop_assert_eq!(root.text, value);
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(Element::parse(&bytes));
        }
    }
}
