//! `git http-backend` as CGI (RFC 3875).

use std::io;
use std::path::Path;
use std::process::Stdio;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Answers one request.
pub(super) async fn run(root: &Path, head: &Parts, body: &[u8]) -> io::Result<Response<Vec<u8>>> {
    let header =
        |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut child = Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REQUEST_METHOD", head.method.as_str())
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("REMOTE_USER", "tester")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take();
    let body = body.to_vec();
    let writing = tokio::spawn(async move {
        if let Some(stdin) = &mut stdin {
            // It may end without reading everything.
            let _ = stdin.write_all(&body).await;
        }
    });
    let output = child.wait_with_output().await?;
    writing.abort();
    parse(&output.stdout)
}

fn parse(output: &[u8]) -> io::Result<Response<Vec<u8>>> {
    let end = output.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or_else(|| io::Error::other("git http-backend wrote no headers"))?;
    let mut response = Response::new(output[end + 4..].to_vec());
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().unwrap_or_default();
            *response.status_mut() = code.parse::<StatusCode>().map_err(io::Error::other)?;
        } else if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}
