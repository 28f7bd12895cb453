//! A cursor over untrusted XML: what the parsers are written with.

use quick_xml::events::{BytesRef, Event};
use quick_xml::reader::Reader;

use super::{XmlError, malformed};

/// Deepest nesting that is read. S3's deepest request has four levels.
const MAX_DEPTH: usize = 16;

/// Reads elements one by one: enter a child, then take its text, its children, or skip it.
pub(super) struct Cursor<'a> {
    text: &'a str,
    reader: Reader<&'a [u8]>,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(body: &'a [u8], max_bytes: usize) -> Result<Self, XmlError> {
        if body.len() > max_bytes {
            return Err(XmlError::TooLarge {
                max_bytes,
                got_bytes: body.len(),
            });
        }
        let text = std::str::from_utf8(body).map_err(|_| malformed("not utf-8"))?;
        // No XML has it, not even as a reference. Other control characters are let through: clients send them raw in keys.
        if text.contains('\0') {
            return Err(malformed("a NUL"));
        }
        let text = text.trim_start_matches('\u{feff}');
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        Ok(Self {
            text,
            reader,
            depth: 0,
        })
    }

    /// Enters the root element, which must have that name.
    pub(super) fn root(&mut self, name: &str) -> Result<(), XmlError> {
        match self.next_child()? {
            Some(found) if found == name => Ok(()),
            _ => Err(malformed("unexpected root element")),
        }
    }

    /// Enters the next child of the current element and returns its name, or leaves the current
    /// element and returns `None`.
    pub(super) fn next_child(&mut self) -> Result<Option<&'a str>, XmlError> {
        loop {
            match self.event()? {
                Event::Start(start) => {
                    self.enter()?;
                    return Ok(Some(self.in_text(start.local_name().as_ref())?));
                }
                Event::End(_) => {
                    self.depth -= 1;
                    return Ok(None);
                }
                Event::Text(text) if is_blank(&text.xml10_content()) => {}
                Event::Decl(_) | Event::Comment(_) => {}
                _ => return Err(malformed("text or markup between elements")),
            }
        }
    }

    /// Takes the text of the current element and leaves it.
    pub(super) fn text(&mut self) -> Result<String, XmlError> {
        let mut out = String::new();
        loop {
            match self.event()? {
                Event::Text(text) => out.push_str(&text.xml10_content()),
                Event::CData(text) => out.push_str(&text.xml10_content()),
                Event::GeneralRef(reference) => out.push(resolve(&reference)?),
                Event::Comment(_) => {}
                Event::End(_) => {
                    self.depth -= 1;
                    return Ok(out);
                }
                _ => return Err(malformed("element inside of text")),
            }
        }
    }

    /// Leaves the current element without looking at it.
    pub(super) fn skip(&mut self) -> Result<(), XmlError> {
        let outer = self.depth - 1;
        while self.depth > outer {
            match self.event()? {
                Event::Start(_) => self.enter()?,
                Event::End(_) => self.depth -= 1,
                Event::GeneralRef(reference) => {
                    resolve(&reference)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks that nothing follows the root element.
    pub(super) fn end(mut self) -> Result<(), XmlError> {
        loop {
            match self
                .reader
                .read_event()
                .map_err(|_| malformed("not well-formed"))?
            {
                Event::Eof => return Ok(()),
                Event::Comment(_) => {}
                Event::Text(text) if is_blank(&text.xml10_content()) => {}
                _ => return Err(malformed("something after the root element")),
            }
        }
    }

    /// The same part of the text, for as long as that lives: the reader lends names for as long as the event only.
    fn in_text(&self, part: &str) -> Result<&'a str, XmlError> {
        let start = part.as_ptr().addr().checked_sub(self.text.as_ptr().addr());
        let found = start.and_then(|start| self.text.get(start..start + part.len()));
        found
            .filter(|found| *found == part)
            .ok_or_else(|| malformed("a name that is not in the text"))
    }

    fn event(&mut self) -> Result<Event<'a>, XmlError> {
        match self
            .reader
            .read_event()
            .map_err(|_| malformed("not well-formed"))?
        {
            Event::Eof => Err(malformed("ends early")),
            Event::DocType(_) => Err(malformed("document type declaration")),
            Event::End(_) if self.depth == 0 => Err(malformed("unexpected end tag")),
            event => Ok(event),
        }
    }

    fn enter(&mut self) -> Result<(), XmlError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            Err(malformed("nested too deeply"))
        } else {
            Ok(())
        }
    }
}

fn is_blank(text: &str) -> bool {
    text.bytes()
        .all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
}

/// The five entities of XML and numeric references; no other is ever looked up.
fn resolve(reference: &BytesRef<'_>) -> Result<char, XmlError> {
    if let Some(character) = reference
        .resolve_char_ref()
        .map_err(|_| malformed("character reference"))?
    {
        return Ok(character);
    }
    match &*reference.xml10_content() {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(malformed("unknown entity")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_as_they_are_without_their_prefix_and_outlive_the_event() {
        let xml = "\u{feff}<?xml version=\"1.0\"?><R xmlns:n=\"u\"><n:NobodyKnows a='1'/><Größe>1</Größe></R>";
        let mut cursor = Cursor::new(xml.as_bytes(), 1000).unwrap();
        cursor.root("R").unwrap();
        let first = cursor.next_child().unwrap();
        cursor.skip().unwrap();
        let second = cursor.next_child().unwrap();
        assert_eq!(cursor.text().unwrap(), "1");
        assert_eq!((first, second), (Some("NobodyKnows"), Some("Größe")));
        assert_eq!(cursor.next_child().unwrap(), None);
        cursor.end().unwrap();
    }
}
