//! A repository of the server, and what a team does with it. Everything by plumbing: there is no work tree.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A bare repository.
pub struct GitRepository {
    path: PathBuf,
}

impl GitRepository {
    /// A new repository in this folder, which no server serves; what it has can be pushed.
    pub fn at(path: &Path) -> Self {
        let repository = Self { path: path.to_owned() };
        repository.git(&["init", "--quiet", "--bare", "--initial-branch=main", "."], b"");
        repository
    }

    pub(super) fn init(root: &Path, name: &str, settings: &[(&str, &str)]) -> Self {
        let repository = Self::at(&root.join(name));
        for (key, value) in settings {
            repository.git(&["config", key, value], b"");
        }
        repository
    }

    /// Commits files, with their paths, as all that there is, on top of the branch. The id of the commit.
    pub fn commit(&self, branch: &str, files: &[(&str, &[u8])]) -> String {
        let entries = files.iter().map(|(path, content)| {
            let blob = self.git(&["hash-object", "-w", "--stdin"], content);
            format!("100644 {blob}\t{path}")
        });
        let entries: Vec<String> = entries.collect();
        self.commit_entries(branch, &entries)
    }

    /// The same with lines `<mode> <id>\t<path>`, for what is no file.
    pub fn commit_entries(&self, branch: &str, entries: &[String]) -> String {
        let index = self.path.join(format!("index-{}", next_number()));
        let index = index.to_string_lossy();
        let lines = entries.iter().fold(String::new(), |lines, entry| lines + entry + "\n");
        self.git_with(
            &[("GIT_INDEX_FILE", &index)],
            &["update-index", "--add", "--index-info"],
            lines.as_bytes(),
        );
        let tree = self.git_with(&[("GIT_INDEX_FILE", &index)], &["write-tree", "--missing-ok"], b"");
        let reference = format!("refs/heads/{branch}");
        let parent = self.try_git(&["rev-parse", "--verify", "--quiet", &reference]);
        let mut arguments = vec!["commit-tree", &tree, "-m", "a change"];
        if let Some(parent) = &parent {
            arguments.extend(["-p", parent]);
        }
        let commit = self.git(&arguments, b"");
        self.git(&["update-ref", &reference, &commit], b"");
        commit
    }

    /// Writes a blob; its id.
    pub fn blob(&self, content: &[u8]) -> String {
        self.git(&["hash-object", "-w", "--stdin"], content)
    }

    /// Moves a branch, also backwards.
    pub fn move_branch(&self, branch: &str, commit: &str) {
        self.git(&["update-ref", &format!("refs/heads/{branch}"), commit], b"");
    }

    /// Removes a branch.
    pub fn delete_branch(&self, branch: &str) {
        self.git(&["update-ref", "-d", &format!("refs/heads/{branch}")], b"");
    }

    /// Makes an annotated tag of any object.
    pub fn tag(&self, name: &str, object: &str) {
        self.git(&["tag", "--annotate", "--message", "a tag", name, object], b"");
    }

    /// Runs git there. What it prints, without the last newline.
    pub fn git(&self, arguments: &[&str], input: &[u8]) -> String {
        self.git_with(&[], arguments, input)
    }

    fn git_with(&self, environment: &[(&str, &str)], arguments: &[&str], input: &[u8]) -> String {
        match self.run(environment, arguments, input) {
            Ok(output) => output,
            Err(error) => panic!("git {arguments:?} failed: {error}"),
        }
    }

    fn try_git(&self, arguments: &[&str]) -> Option<String> {
        self.run(&[], arguments, b"").ok()
    }

    fn run(&self, environment: &[(&str, &str)], arguments: &[&str], input: &[u8]) -> Result<String, String> {
        std::fs::create_dir_all(&self.path).map_err(|error| error.to_string())?;
        let mut child = Command::new("git")
            .args(arguments)
            .current_dir(&self.path)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            // It would count over the setting of the same meaning.
            .env_remove("GIT_SSL_CAINFO")
            .env("GIT_AUTHOR_NAME", "tester")
            .env("GIT_AUTHOR_EMAIL", "tester@example.com")
            .env("GIT_COMMITTER_NAME", "tester")
            .env("GIT_COMMITTER_EMAIL", "tester@example.com")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input).map_err(|error| error.to_string())?;
        }
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

fn next_number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
