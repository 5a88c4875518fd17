//! PostgreSQL of an image, run on this machine without the image: its programs need the image's own libraries, a libc included.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::guarded::GuardedFolder;

/// The folder with the image's files.
const ROOTFS: &str = "TEST_POSTGRES_ROOTFS";

/// The folder of the programs, if the image's files are there. Every account of this machine may run them.
pub(super) fn shared_bindir() -> Option<PathBuf> {
    static SHARED: OnceLock<Option<(GuardedFolder, PathBuf)>> = OnceLock::new();
    let prepare = || {
        let rootfs = std::env::var_os(ROOTFS).map(PathBuf::from)?;
        rootfs.join("usr/lib/postgresql").is_dir().then(|| prepare(&rootfs))
    };
    SHARED.get_or_init(prepare).as_ref().map(|(_, bindir)| bindir.clone())
}

/// Copies the image's files, since PostgreSQL runs as an account that may not reach the folder where they are. Each program gets a
/// script in its place that starts it with the image's libraries. PostgreSQL finds its other files and programs by the path that it
/// was started with, hence the same folders once more around the scripts.
fn prepare(rootfs: &Path) -> (GuardedFolder, PathBuf) {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let mode = |path: &Path, mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, permissions).expect("permissions should be set");
    };
    let folder =
        GuardedFolder::create("test-postgres-image-", None).expect("a temporary folder should be created");
    mode(folder.path(), 0o755);
    let copy = folder.path().join("rootfs");
    let copied = Command::new("cp").args(["-a", "--reflink=auto"]).arg(rootfs).arg(&copy).status();
    assert!(copied.expect("cp should start").success(), "{} was not copied", rootfs.display());

    let version = only_entry(&copy.join("usr/lib/postgresql"), |_| true);
    let version = version.file_name().expect("a version's folder has a name");
    let original = copy.join("usr/lib/postgresql").join(version);
    let libraries = only_entry(&copy.join("usr/lib"), |name| name.ends_with("-linux-gnu"));
    let loader = only_entry(&libraries, |name| name.starts_with("ld-linux"));
    let outer = folder.path().join("run");
    let scripts = outer.join("lib/postgresql").join(version);
    let bindir = scripts.join("bin");
    std::fs::create_dir_all(&bindir).expect("a folder should be created");
    symlink(original.join("lib"), scripts.join("lib")).expect("a link should be made");
    symlink(copy.join("usr/share"), outer.join("share")).expect("a link should be made");
    for entry in std::fs::read_dir(original.join("bin")).expect("the programs should be there").flatten() {
        let script = format!(
            "#!/bin/sh\nexec '{}' --inhibit-cache --library-path '{}' --argv0 \"$0\" '{}' \"$@\"\n",
            loader.display(),
            libraries.display(),
            entry.path().display()
        );
        let path = bindir.join(entry.file_name());
        std::fs::write(&path, script).expect("a script should be written");
        mode(&path, 0o755);
    }
    (folder, bindir)
}

fn only_entry(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> PathBuf {
    let entries = std::fs::read_dir(folder).expect("the image's folder should be readable").flatten();
    let mut found = entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().and_then(std::ffi::OsStr::to_str).is_some_and(&is_wanted));
    match (found.next(), found.next()) {
        (Some(path), None) => path,
        (first, second) => panic!("{} should have one such entry: {first:?}, {second:?}", folder.display()),
    }
}
