//! Requests about access: blocks of public access, ownership controls, access control lists.

use super::{MAX_SMALL_BYTES, XmlError, cursor::Cursor, malformed};
use crate::access::{MAX_GRANTS, Ownership, Permission, PublicAccessBlock};

/// Whom a grant of a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedGrantee {
    /// An account, by its canonical id.
    Id(String),
    /// A group.
    Uri(String),
    /// An account, by its address.
    Email(String),
}

/// `AccessControlPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclRequest {
    /// The canonical id of the owner.
    pub owner: Option<String>,
    /// The grants in order.
    pub grants: Vec<(NamedGrantee, Permission)>,
}

/// Parses `PublicAccessBlockConfiguration`.
///
/// # Errors
/// [`XmlError::Malformed`] and [`XmlError::TooLarge`].
pub fn public_access_block(body: &[u8]) -> Result<PublicAccessBlock, XmlError> {
    let mut cursor = Cursor::new(body, MAX_SMALL_BYTES)?;
    cursor.root("PublicAccessBlockConfiguration")?;
    let mut block = PublicAccessBlock::default();
    while let Some(name) = cursor.next_child()? {
        let setting = match name {
            "BlockPublicAcls" => &mut block.block_public_acls,
            "IgnorePublicAcls" => &mut block.ignore_public_acls,
            "BlockPublicPolicy" => &mut block.block_public_policy,
            "RestrictPublicBuckets" => &mut block.restrict_public_buckets,
            _ => return Err(malformed("unknown setting")),
        };
        *setting = truth(&cursor.text()?)?;
    }
    cursor.end()?;
    Ok(block)
}

fn truth(text: &str) -> Result<bool, XmlError> {
    match text.trim() {
        text if text.eq_ignore_ascii_case("true") => Ok(true),
        text if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(malformed("neither true nor false")),
    }
}

/// Parses `OwnershipControls`, which has one rule.
///
/// # Errors
/// As [`public_access_block`].
pub fn ownership_controls(body: &[u8]) -> Result<Ownership, XmlError> {
    let mut cursor = Cursor::new(body, MAX_SMALL_BYTES)?;
    cursor.root("OwnershipControls")?;
    let mut found = None;
    while let Some(name) = cursor.next_child()? {
        match name {
            "Rule" if found.is_none() => found = Some(ownership(&mut cursor)?),
            "Rule" => return Err(malformed("more than one rule")),
            _ => cursor.skip()?,
        }
    }
    cursor.end()?;
    found.ok_or(malformed("no rule"))
}

fn ownership(cursor: &mut Cursor<'_>) -> Result<Ownership, XmlError> {
    let mut found = None;
    while let Some(name) = cursor.next_child()? {
        match name {
            "ObjectOwnership" => found = Ownership::parse(cursor.text()?.trim()),
            _ => cursor.skip()?,
        }
    }
    found.ok_or(malformed("no object ownership"))
}

/// Parses `AccessControlPolicy`.
///
/// # Errors
/// As [`public_access_block`].
pub fn access_control_policy(body: &[u8]) -> Result<AclRequest, XmlError> {
    let mut cursor = Cursor::new(body, MAX_SMALL_BYTES)?;
    cursor.root("AccessControlPolicy")?;
    let mut request = AclRequest::default();
    let mut has_list = false;
    while let Some(name) = cursor.next_child()? {
        match name {
            "Owner" => request.owner = account(&mut cursor)?,
            "AccessControlList" if !has_list => {
                has_list = true;
                request.grants = grants(&mut cursor)?;
            }
            _ => return Err(malformed("unknown element of a list")),
        }
    }
    cursor.end()?;
    if has_list {
        return Ok(request);
    }
    Err(malformed("no list"))
}

fn account(cursor: &mut Cursor<'_>) -> Result<Option<String>, XmlError> {
    let mut id = None;
    while let Some(name) = cursor.next_child()? {
        match name {
            "ID" => id = Some(cursor.text()?),
            _ => cursor.skip()?,
        }
    }
    Ok(id)
}

fn grants(cursor: &mut Cursor<'_>) -> Result<Vec<(NamedGrantee, Permission)>, XmlError> {
    let mut all = Vec::new();
    while let Some(name) = cursor.next_child()? {
        match name {
            "Grant" if all.len() < MAX_GRANTS => all.push(grant(cursor)?),
            _ => return Err(malformed("too many grants, or none")),
        }
    }
    Ok(all)
}

fn grant(cursor: &mut Cursor<'_>) -> Result<(NamedGrantee, Permission), XmlError> {
    let (mut grantee, mut permission) = (None, None);
    while let Some(name) = cursor.next_child()? {
        match name {
            "Grantee" => grantee = self::grantee(cursor)?,
            "Permission" => permission = Permission::parse(cursor.text()?.trim()),
            _ => return Err(malformed("unknown element of a grant")),
        }
    }
    let grantee = grantee.ok_or(malformed("grant without grantee"))?;
    Ok((
        grantee,
        permission.ok_or(malformed("grant without permission"))?,
    ))
}

fn grantee(cursor: &mut Cursor<'_>) -> Result<Option<NamedGrantee>, XmlError> {
    let mut found = None;
    while let Some(name) = cursor.next_child()? {
        match name {
            "ID" => found = Some(NamedGrantee::Id(cursor.text()?)),
            "URI" => found = Some(NamedGrantee::Uri(cursor.text()?)),
            "EmailAddress" => found = Some(NamedGrantee::Email(cursor.text()?)),
            _ => cursor.skip()?,
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read() {
        let block = public_access_block(
            b"<PublicAccessBlockConfiguration xmlns=\"x\"><BlockPublicAcls>TRUE</BlockPublicAcls>\
              <RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>",
        );
        let expected = PublicAccessBlock {
            block_public_acls: true,
            restrict_public_buckets: true,
            ..PublicAccessBlock::default()
        };
        assert_eq!(block, Ok(expected));
        for bad in [
            "<PublicAccessBlockConfiguration><BlockPublicAcls>yes</BlockPublicAcls></PublicAccessBlockConfiguration>",
            "<PublicAccessBlockConfiguration><Block>true</Block></PublicAccessBlockConfiguration>",
            "<Other/>",
            "",
        ] {
            assert!(public_access_block(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn ownership_is_one_rule() {
        let of = |rules: &str| {
            ownership_controls(format!("<OwnershipControls>{rules}</OwnershipControls>").as_bytes())
        };
        let rule = |word: &str| format!("<Rule><ObjectOwnership>{word}</ObjectOwnership></Rule>");
        assert_eq!(of(&rule("ObjectWriter")), Ok(Ownership::ObjectWriter));
        assert!(of(&rule("Nobody")).is_err());
        assert!(of("").is_err());
        assert!(of(&rule("ObjectWriter").repeat(2)).is_err());
    }

    #[test]
    fn lists_are_read_with_all_ways_to_name_somebody() {
        let grant = |who: &str, what: &str| {
            format!(
                "<Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"x\">{who}</Grantee><Permission>{what}</Permission></Grant>"
            )
        };
        let of = |grants: &str| {
            let text = format!(
                "<AccessControlPolicy><Owner><ID>o</ID><DisplayName>d</DisplayName></Owner><AccessControlList>{grants}</AccessControlList></AccessControlPolicy>"
            );
            access_control_policy(text.as_bytes())
        };
        let all = [
            grant("<ID>a</ID><DisplayName>d</DisplayName>", "READ"),
            grant("<URI>u</URI>", "WRITE_ACP"),
            grant("<EmailAddress>e</EmailAddress>", "FULL_CONTROL"),
        ];
        let read = of(&all.concat()).expect("a list");
        assert_eq!(read.owner.as_deref(), Some("o"));
        let text = |text: &str| text.to_owned();
        assert_eq!(
            read.grants,
            [
                (NamedGrantee::Id(text("a")), Permission::Read),
                (NamedGrantee::Uri(text("u")), Permission::WriteAcp),
                (NamedGrantee::Email(text("e")), Permission::FullControl),
            ]
        );
        assert!(of(&grant("<ID>a</ID>", "ALL")).is_err());
        assert!(of(&grant("", "READ")).is_err());
        assert!(of(&grant("<ID>a</ID>", "READ").repeat(101)).is_err());
        assert!(access_control_policy(b"<AccessControlPolicy/>").is_err());
    }
}
