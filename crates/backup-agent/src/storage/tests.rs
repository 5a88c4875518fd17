use std::fmt;

use async_trait::async_trait;
use futures::StreamExt as _;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions,
    PutPayload, PutResult, Result,
};

use super::*;

#[test]
fn ten_thousand_parts_are_enough() {
    const GIB: u64 = 1024 * 1024 * 1024;
    for expected in [0, GIB, 100 * GIB, 2000 * GIB] {
        let part = plan_part_size(expected);
        assert!((MIN_UPLOAD_PART..=MAX_UPLOAD_PART).contains(&part));
        assert!(part * 10_000 >= 2 * expected, "a dump may be twice as large as its tables: {expected}");
    }
}

#[tokio::test]
async fn a_link_in_place_of_the_folder_is_not_followed() {
    let root = tempfile::tempdir().expect("a folder");
    let outside = root.path().join("outside");
    std::fs::create_dir(&outside).expect("a folder");
    std::fs::write(outside.join("kept"), "").expect("a file");
    let link = root.path().join("b1");
    std::os::unix::fs::symlink(&outside, &link).expect("a link");
    remove_folder(link.clone()).await.expect("is removed");
    assert!(outside.join("kept").exists());
    assert!(std::fs::symlink_metadata(&link).is_err());
}

/// A service that knows no conditional writes, like some that imitate S3.
#[derive(Debug)]
struct Unconditional(InMemory);

impl fmt::Display for Unconditional {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Unconditional {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if options.mode == PutMode::Create {
            let source = "501 Not Implemented: <Error><Code>NotImplemented</Code></Error>".into();
            return Err(object_store::Error::Generic { store: "S3", source });
        }
        self.0.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn a_manifest_is_created_once_where_the_service_can_and_written_where_it_cannot() {
    let destination = Destination::S3 { bucket: "test".to_owned(), prefix: String::new() };
    let id: BackupId = "b1".parse().expect("is an id");
    let conditional = Storage::on(Arc::new(InMemory::new()), destination.clone());
    assert_eq!(conditional.apply_manifest(&id, b"first".to_vec()).await, Ok(true));
    assert_eq!(conditional.apply_manifest(&id, b"second".to_vec()).await, Ok(false));
    assert_eq!(conditional.observe_manifest(&id).await, Ok(Some(Bytes::from_static(b"first"))));
    let unconditional = Storage::on(Arc::new(Unconditional(InMemory::new())), destination);
    assert_eq!(unconditional.apply_manifest(&id, b"first".to_vec()).await, Ok(true));
    assert_eq!(unconditional.apply_manifest(&id, b"second".to_vec()).await, Ok(true));
    assert_eq!(unconditional.observe_manifest(&id).await, Ok(Some(Bytes::from_static(b"second"))));
}
