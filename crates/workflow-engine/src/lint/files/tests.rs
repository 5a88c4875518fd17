use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use tempfile::TempDir;

use super::*;

/// A directory with these files; names that end with `/` are directories.
fn tree(names: &[&str]) -> TempDir {
    let root = tempfile::tempdir().expect("should make a directory");
    for name in names {
        let path = root.path().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).expect("should make a directory");
        } else {
            fs::create_dir_all(path.parent().expect("is below the root")).expect("should make a directory");
            fs::write(path, *name).expect("should write a file");
        }
    }
    root
}

/// The files found for `paths` in the tree, and what could not be read, both without the tree's own path.
fn found(root: &TempDir, paths: &[&str]) -> (Vec<PathBuf>, Vec<String>) {
    let paths: Vec<PathBuf> = paths.iter().map(|path| root.path().join(path)).collect();
    let (files, unread) = observe_files(&paths);
    let below = |path: &Path| path.strip_prefix(root.path()).expect("is below the root").to_owned();
    let said = unread.iter().map(|unread| format!("{} {}", below(&unread.path).display(), unread.reason));
    (files.iter().map(|file| below(file)).collect(), said.collect())
}

fn paths(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(PathBuf::from).collect()
}

#[test]
fn a_directory_stands_for_the_sorted_bpmn_files_in_it_and_below_it() {
    let root = tree(&[
        "flows/z.bpmn",
        "flows/deep/er/b.bpmn20.xml",
        "flows/a.bpmn",
        "flows/a.xml",
        "flows/a.bpmn.bak",
        "flows/bpmn",
        "flows/.git/hidden.bpmn",
        "flows/dir.bpmn/inside.bpmn",
    ]);
    let expected =
        ["flows/a.bpmn", "flows/deep/er/b.bpmn20.xml", "flows/dir.bpmn/inside.bpmn", "flows/z.bpmn"];
    assert_eq!(found(&root, &["flows"]), (paths(&expected), vec![]));
}

#[test]
fn files_keep_the_order_in_which_they_are_named_and_are_found_once() {
    let root = tree(&["b.bpmn", "a/x.bpmn", "a/notes.txt"]);
    symlink("b.bpmn", root.path().join("same.bpmn")).expect("should make a link");
    let named = ["b.bpmn", "a/notes.txt", "a", "a/../b.bpmn", "same.bpmn", "a/x.bpmn", ".", "gone.bpmn"];
    assert_eq!(found(&root, &named), (paths(&["b.bpmn", "a/notes.txt", "a/x.bpmn", "gone.bpmn"]), vec![]));
}

#[test]
fn a_hidden_directory_is_searched_when_it_is_named() {
    let root = tree(&[".flows/a.bpmn"]);
    assert_eq!(found(&root, &[".flows"]), (paths(&[".flows/a.bpmn"]), vec![]));
}

#[test]
fn a_directory_without_bpmn_says_so() {
    let root = tree(&["empty/", "other/.git/a.bpmn", "other/readme.md", "flows/a.bpmn"]);
    let none = "has no BPMN file: nothing in it or below it ends with .bpmn or .bpmn20.xml, hidden directories and \
                symbolic links left out";
    let expected = vec![format!("empty {none}"), format!("other {none}")];
    assert_eq!(found(&root, &["empty", "flows", "other"]), (paths(&["flows/a.bpmn"]), expected));
}

/// A loop would not end, a link may lead to anything that the process can read, and a socket or pipe would block.
#[test]
fn links_and_what_is_no_regular_file_are_left_out_of_a_directory() {
    let root = tree(&["flows/a.bpmn", "outside/secret.bpmn"]);
    for (target, link) in [("..", "up"), (".", "loop.bpmn"), ("../outside/secret.bpmn", "secret.bpmn")] {
        symlink(target, root.path().join("flows").join(link)).expect("should make a link");
    }
    let _socket = UnixListener::bind(root.path().join("flows/socket.bpmn")).expect("should make a socket");
    assert_eq!(found(&root, &["flows"]), (paths(&["flows/a.bpmn"]), vec![]));
}

#[test]
fn names_that_are_no_text_are_found() {
    let root = tree(&["flows/"]);
    let name = OsString::from_vec(b"flows/\xff\n.bpmn".to_vec());
    fs::write(root.path().join(&name), "").expect("should write a file");
    assert_eq!(found(&root, &["flows"]), (vec![PathBuf::from(name)], vec![]));
}

#[test]
fn a_file_is_read_up_to_what_an_engine_takes() {
    let root = tree(&[]);
    let path = root.path().join("a.bpmn");
    fs::write(&path, vec![b' '; MAX_BYTES]).expect("should write a file");
    assert_eq!(observe_content(&path).expect("should be read").len(), MAX_BYTES);
    fs::write(&path, vec![b' '; MAX_BYTES + 1]).expect("should write a file");
    let reasons = [&path, Path::new("/dev/zero"), root.path(), &root.path().join("gone")]
        .map(|path| observe_content(path).expect_err("should not be read").to_string());
    let expected = [
        "is larger than 1024 KiB, the most that an engine takes",
        "is larger than 1024 KiB, the most that an engine takes",
        "cannot be read: Is a directory (os error 21)",
        "cannot be read: No such file or directory (os error 2)",
    ];
    assert_eq!(reasons, expected);
}
