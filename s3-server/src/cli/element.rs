//! The XML of answers, as a tree. What a server sends is not trusted: depth is bounded, and entities but XML's own are refused.

use quick_xml::{
    escape::resolve_predefined_entity,
    events::{BytesRef, Event},
    reader::Reader,
};

/// Deeper than any answer of S3 or IAM.
const MAX_DEPTH: usize = 32;

/// An element with what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
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
                    let Some(parent) = open.last_mut() else {
                        return Some(done);
                    };
                    parent.children.push(done);
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
            let mut children = element.children.iter();
            children.find(|child| child.name == name)
        })
    }

    /// What is in it, in order.
    pub(super) fn children(&self) -> impl Iterator<Item = &Self> {
        self.children.iter()
    }

    /// The text of this element.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The text of what is below `path`; empty where there is none.
    pub(super) fn get(&self, path: &str) -> String {
        self.at(path)
            .map_or(String::new(), |found| found.text.clone())
    }

    /// The entries of a list.
    pub(super) fn list(&self, path: &str) -> &[Self] {
        self.at(path).map_or(&[], |list| &list.children)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_a_tree() {
        let xml = b"<?xml version=\"1.0\"?>\n<R xmlns=\"x\"><User><Arn>a&lt;&#66;</Arn></User> <L><member>1</member><member/></L></R>";
        let root = Element::parse(xml).unwrap();
        assert_eq!(root.name(), "R");
        assert_eq!(root.get("User/Arn"), "a<B");
        assert_eq!(root.get("User/None"), "");
        assert_eq!(root.list("L").len(), 2);
        assert_eq!(root.list("L")[0].text(), "1");
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
}
