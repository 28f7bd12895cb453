//! `multipart/form-data`, pushed in as it comes and taken out part by part.
//!
//! Memory: what was fed and not taken yet, so the caller takes all events before it feeds more. Nothing of a part is held back but
//! what may be the beginning of the next boundary.

use bytes::{Buf as _, Bytes, BytesMut};

/// Headers of a part, in bytes.
const MAX_HEAD_BYTES: usize = 8 << 10;
/// What may stand before the first boundary, in bytes.
const MAX_PREAMBLE_BYTES: usize = 8 << 10;
/// RFC 2046, 5.1.1.
const MAX_BOUNDARY_BYTES: usize = 70;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// A form that breaks its own rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// No boundary where one must be, or more than the bound before it.
    #[error("the form does not begin with its boundary")]
    NoBoundary,
    /// A boundary is followed by something else than a line end or `--`.
    #[error("a boundary of the form is not followed by the end of its line")]
    BadBoundary,
    /// The headers of a part are too long, or not what they should be.
    #[error("the headers of a part of the form are not as they should be")]
    BadHead,
    /// A part without a name.
    #[error("a part of the form has no name")]
    NoName,
}

/// What a part is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartHead {
    /// The name of the field.
    pub name: String,
    /// The name of the file, if it is one.
    pub file_name: Option<String>,
}

/// What the form says next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing without more bytes.
    NeedMore,
    /// A part begins.
    Part(PartHead),
    /// Bytes of the part.
    Data(Bytes),
    /// The part has ended.
    PartEnd,
    /// The form has ended; what follows means nothing.
    End,
}

/// A form on its way in.
#[derive(Clone, Debug)]
pub struct Form {
    /// Line end, `--`, boundary.
    delimiter: Vec<u8>,
    buffer: BytesMut,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Preamble,
    AfterBoundary,
    Head,
    Body,
    End,
}

impl Form {
    /// A form with that boundary.
    pub fn new(boundary: &str) -> Self {
        Self {
            delimiter: [b"\r\n--", boundary.as_bytes()].concat(),
            // As if a line had ended: so the first boundary is like any other.
            buffer: BytesMut::from(&b"\r\n"[..]),
            state: State::Preamble,
        }
    }

    /// Takes bytes of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.state != State::End {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// What comes next of what was fed.
    ///
    /// # Errors
    /// [`FormError`]: the form is of no more use.
    pub fn next_event(&mut self) -> Result<Event, FormError> {
        loop {
            let step = match self.state {
                State::Preamble => self.preamble()?,
                State::AfterBoundary => self.after_boundary()?,
                State::Head => self.head()?,
                State::Body => Some(self.body()),
                State::End => Some(Event::End),
            };
            if let Some(event) = step {
                return Ok(event);
            }
        }
    }

    /// `None`: the state has changed, go on.
    fn preamble(&mut self) -> Result<Option<Event>, FormError> {
        match find(&self.buffer, &self.delimiter) {
            Some(at) => {
                self.buffer.advance(at + self.delimiter.len());
                self.state = State::AfterBoundary;
                Ok(None)
            }
            None if self.buffer.len() > MAX_PREAMBLE_BYTES => Err(FormError::NoBoundary),
            None => Ok(Some(Event::NeedMore)),
        }
    }

    fn after_boundary(&mut self) -> Result<Option<Event>, FormError> {
        if self.buffer.starts_with(b"--") {
            self.state = State::End;
            self.buffer.clear();
            return Ok(None);
        }
        let blank = |b: &u8| matches!(b, b' ' | b'\t');
        let padding = self.buffer.iter().take_while(|b| blank(b)).count();
        match self.buffer[padding..] {
            [b'\r', b'\n', ..] => {
                // The line end stays: a head without headers ends where it begins.
                self.buffer.advance(padding);
                self.state = State::Head;
                Ok(None)
            }
            [] | [b'\r'] if padding <= MAX_HEAD_BYTES => Ok(Some(Event::NeedMore)),
            [b'-'] if padding == 0 => Ok(Some(Event::NeedMore)),
            _ => Err(FormError::BadBoundary),
        }
    }

    fn head(&mut self) -> Result<Option<Event>, FormError> {
        let Some(at) = find(&self.buffer, END_OF_HEAD) else {
            return match self.buffer.len() {
                0..=MAX_HEAD_BYTES => Ok(Some(Event::NeedMore)),
                _ => Err(FormError::BadHead),
            };
        };
        if at > MAX_HEAD_BYTES {
            return Err(FormError::BadHead);
        }
        let head = self.buffer.split_to(at + END_OF_HEAD.len());
        self.state = State::Body;
        parse_head(&head).map(|head| Some(Event::Part(head)))
    }

    fn body(&mut self) -> Event {
        let Some(at) = find(&self.buffer, &self.delimiter) else {
            let safe = self.buffer.len().saturating_sub(self.delimiter.len() - 1);
            return match safe {
                0 => Event::NeedMore,
                safe => Event::Data(self.buffer.split_to(safe).freeze()),
            };
        };
        if at > 0 {
            return Event::Data(self.buffer.split_to(at).freeze());
        }
        self.buffer.advance(self.delimiter.len());
        self.state = State::AfterBoundary;
        Event::PartEnd
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

fn parse_head(head: &[u8]) -> Result<PartHead, FormError> {
    let head = std::str::from_utf8(head).map_err(|_| FormError::BadHead)?;
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let disposition =
        lines.find(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"));
    let (kind, parameters) = disposition
        .and_then(|(_, value)| value.split_once(';'))
        .ok_or(FormError::NoName)?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err(FormError::BadHead);
    }
    let mut parsed = PartHead::default();
    let mut has_name = false;
    for (name, value) in Parameters(parameters) {
        match &*name.to_ascii_lowercase() {
            "name" => (parsed.name, has_name) = (value, true),
            "filename" => parsed.file_name = Some(value),
            _ => {}
        }
    }
    has_name.then_some(parsed).ok_or(FormError::NoName)
}

/// `; name="value"; other=value`. A browser writes a quote in a value as `%22`, others with a backslash before it.
struct Parameters<'a>(&'a str);

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a str, String);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.0.split_once('=')?;
        let name = name.trim_matches([' ', '\t', ';']);
        let rest = rest.trim_start();
        let (value, rest) = if let Some(quoted) = rest.strip_prefix('"') {
            unquote(quoted)
        } else {
            let (value, rest) = rest.split_once(';').unwrap_or((rest, ""));
            (value.trim().to_owned(), rest)
        };
        self.0 = rest;
        Some((name, value))
    }
}

/// The text up to the closing quote, and what follows it.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::with_capacity(text.len());
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            // Old browsers put whole Windows paths there: only a quote or a backslash is escaped.
            '\\' if text[at + 1..].starts_with(['"', '\\']) => {
                value.extend(chars.next().map(|(_, escaped)| escaped));
            }
            c => value.push(c),
        }
    }
    (value, "")
}

/// The boundary that a `Content-Type` names; `None` if it is no form.
pub fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let (_, boundary) =
        Parameters(parameters).find(|(name, _)| name.eq_ignore_ascii_case("boundary"))?;
    (1..=MAX_BOUNDARY_BYTES)
        .contains(&boundary.len())
        .then_some(boundary)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    type Parts = Vec<(PartHead, Vec<u8>)>;

    /// All parts, and whether the form has ended.
    fn take(boundary: &str, pieces: &[&[u8]]) -> Result<(Parts, bool), FormError> {
        let mut form = Form::new(boundary);
        let mut parts = Parts::new();
        for piece in pieces {
            form.feed(piece);
            loop {
                match form.next_event()? {
                    Event::NeedMore => break,
                    Event::Part(head) => parts.push((head, Vec::new())),
                    Event::Data(bytes) => parts.last_mut().unwrap().1.extend_from_slice(&bytes),
                    Event::PartEnd => {}
                    Event::End => return Ok((parts, true)),
                }
            }
        }
        Ok((parts, false))
    }

    fn written(boundary: &str, parts: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, file, body) in parts {
            let file = file
                .map(|f| format!("; filename=\"{f}\""))
                .unwrap_or_default();
            let head = format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n"
            );
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(body);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        out
    }

    #[test]
    fn parts_come_out_as_they_went_in() {
        let form = written(
            "xx",
            &[
                ("key", None, b"a b"),
                ("file", Some("C:\\dir\\f.txt"), b"\r\n--x\r\n--"),
                ("empty", None, b""),
            ],
        );
        let (parts, ended) = take("xx", &[&form]).unwrap();
        assert!(ended);
        let head = |name: &str, file: Option<&str>| PartHead {
            name: name.to_owned(),
            file_name: file.map(str::to_owned),
        };
        assert_eq!(parts[0], (head("key", None), b"a b".to_vec()));
        assert_eq!(
            parts[1],
            (
                head("file", Some("C:\\dir\\f.txt")),
                b"\r\n--x\r\n--".to_vec()
            )
        );
        assert_eq!(parts[2], (head("empty", None), Vec::new()));
    }

    #[test]
    fn heads_of_all_kinds() {
        let name = |head: &str| parse_head(format!("\r\n{head}\r\n\r\n").as_bytes());
        let good = "content-type: text/plain\r\nCONTENT-DISPOSITION:form-data;name=key ; filename=\"a\\\"b\"";
        let parsed = name(good).unwrap();
        assert_eq!(
            (parsed.name.as_str(), parsed.file_name.as_deref()),
            ("key", Some("a\"b"))
        );
        assert_eq!(
            name("Content-Disposition: form-data"),
            Err(FormError::NoName)
        );
        assert_eq!(
            name("Content-Disposition: form-data; x=y"),
            Err(FormError::NoName)
        );
        assert_eq!(
            name("Content-Disposition: attachment; name=x"),
            Err(FormError::BadHead)
        );
        assert_eq!(name("Content-Type: x"), Err(FormError::NoName));
    }

    #[test]
    fn what_is_no_form_is_refused_within_bounds() {
        assert_eq!(
            take("x", &[&[b'a'; MAX_PREAMBLE_BYTES + 1]]),
            Err(FormError::NoBoundary)
        );
        assert_eq!(take("x", &[b"--xy"]), Err(FormError::BadBoundary));
        let endless = [b"--x\r\n".to_vec(), vec![b'a'; MAX_HEAD_BYTES + 1]].concat();
        assert_eq!(take("x", &[&endless]), Err(FormError::BadHead));
        assert_eq!(take("x", &[b"--x--"]), Ok((Parts::new(), true)));
        assert_eq!(take("x", &[b"preamble\r\n--x--"]), Ok((Parts::new(), true)));
        assert!(
            !take(
                "x",
                &[b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb"]
            )
            .unwrap()
            .1
        );
    }

    #[test]
    fn boundaries_are_found() {
        assert_eq!(
            boundary("multipart/form-data; boundary=abc").unwrap(),
            "abc"
        );
        assert_eq!(
            boundary("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"").unwrap(),
            "a b"
        );
        for none in [
            "multipart/form-data",
            "text/plain; boundary=x",
            "multipart/form-data; boundary=",
            "",
        ] {
            assert_eq!(boundary(none), None);
        }
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        assert_eq!(boundary(&long), None);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_a_form_is_cut(
            bodies in vec(vec(prop::sample::select(b"\r\n-xab".to_vec()), 0..40), 1..4),
            cuts in vec(1..20_usize, 1..10),
        ) {
            // A body that holds the boundary is two parts, for everybody.
            let bodies: Vec<_> = bodies.into_iter().filter(|b| find(b, b"--xx").is_none()).collect();
            let parts: Vec<_> = bodies.iter().map(|b| ("n", None, &b[..])).collect();
            let form = written("xx", &parts);
            let mut pieces = Vec::new();
            let (mut rest, mut cut) = (&form[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*cut.next().unwrap()));
                pieces.push(piece);
                rest = after;
            }
            let (found, ended) = take("xx", &pieces).unwrap();
            prop_assert!(ended);
            prop_assert_eq!(found.into_iter().map(|(_, body)| body).collect::<Vec<_>>(), bodies);
        }

        #[test]
        fn random_bytes_never_panic(pieces in vec(vec(prop::sample::select(b"\r\n-x=\"\\;:\xffaContent-Disposition: form-data; name".to_vec()), 0..60), 1..6)) {
            let pieces: Vec<_> = pieces.iter().map(Vec::as_slice).collect();
            let mut all = vec![&b"--x\r\n"[..]];
            all.extend(pieces);
            drop(take("x", &all));
        }
    }
}
