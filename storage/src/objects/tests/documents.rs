//! What buckets are configured with.

use crate::{
    meta::Meta,
    objects::{testing::*, *},
};

const KIND: DocumentKind = DocumentKind::Cors;
const OTHER: DocumentKind = DocumentKind::Policy;

async fn read(fixture: &Fixture, kind: DocumentKind) -> Option<Vec<u8>> {
    let found = fixture.store.document(&bucket("bucket"), kind).await;
    found.unwrap().map(|document| document.bytes().to_vec())
}

async fn set(
    fixture: &Fixture,
    kind: DocumentKind,
    bytes: Option<&[u8]>,
) -> Result<(), StoreError> {
    let name = bucket("bucket");
    fixture.store.set_document(&name, kind, bytes).await
}

async fn pages(meta: &dyn Meta) -> usize {
    meta.scan(b"d", b"e", 100).await.unwrap().len()
}

#[tokio::test]
async fn documents_of_any_length_are_set_replaced_and_removed() {
    let fixture = Fixture::with_bucket().await;
    assert_eq!(read(&fixture, KIND).await, None);
    set(&fixture, KIND, None).await.unwrap();
    set(&fixture, OTHER, Some(b"other")).await.unwrap();
    for length in [0, 1, 57_343, 57_344, 57_345, MAX_DOCUMENT_BYTES] {
        let document = vec![u8::try_from(length % 251).unwrap(); length];
        set(&fixture, KIND, Some(&document)).await.unwrap();
        assert_eq!(read(&fixture, KIND).await.unwrap(), document);
        assert_eq!(read(&fixture, OTHER).await.unwrap(), b"other");
        assert_eq!(pages(&*fixture.meta).await, length.div_ceil(57_344) + 1);
    }
    let refused = set(&fixture, KIND, Some(&vec![0; MAX_DOCUMENT_BYTES + 1])).await;
    assert!(matches!(refused, Err(StoreError::MetadataTooLarge { .. })));
    set(&fixture, KIND, None).await.unwrap();
    assert_eq!(read(&fixture, KIND).await, None);
    assert_eq!(pages(&*fixture.meta).await, 1);
}

#[tokio::test]
async fn a_deleted_bucket_leaves_no_document_behind() {
    let fixture = Fixture::with_bucket().await;
    let kinds = (1..).map_while(DocumentKind::from_code);
    for kind in kinds.collect::<Vec<_>>() {
        let largest = vec![0; MAX_DOCUMENT_BYTES];
        set(&fixture, kind, Some(&largest)).await.unwrap();
    }
    let name = bucket("bucket");
    fixture.store.delete_bucket(&name).await.unwrap();
    assert_eq!(pages(&*fixture.meta).await, 0);
    let gone = fixture.store.document(&name, KIND).await;
    assert!(matches!(gone, Err(StoreError::NoSuchBucket)));
    fixture.create("bucket").await.unwrap();
    assert_eq!(read(&fixture, KIND).await, None);
}

#[tokio::test]
async fn a_document_is_parsed_once_until_the_bucket_changes() {
    let fixture = Fixture::with_bucket().await;
    set(&fixture, KIND, Some(b"7")).await.unwrap();
    let parsed = async |text: &'static str| {
        let found = fixture.store.document(&bucket("bucket"), KIND).await;
        let value = found.unwrap().unwrap().parsed(|_| String::from(text));
        value.to_string()
    };
    assert_eq!(parsed("first").await, "first");
    assert_eq!(parsed("again").await, "first");
    set(&fixture, KIND, Some(b"8")).await.unwrap();
    assert_eq!(parsed("changed").await, "changed");
}

#[tokio::test]
async fn a_lost_page_is_an_error_and_not_for_ever() {
    let fixture = Fixture::with_bucket().await;
    set(&fixture, KIND, Some(b"7")).await.unwrap();
    let page = fixture.meta.scan(b"d", b"e", 1).await.unwrap().remove(0);
    let mut draft = crate::meta::Transaction::default();
    draft.changes.push(crate::meta::Change {
        key: page.key,
        value: None,
    });
    fixture.meta.commit(draft).await.unwrap();
    let found = fixture.store.document(&bucket("bucket"), KIND).await;
    assert!(matches!(
        found,
        Err(StoreError::Record(RecordError::NoPages))
    ));
}
