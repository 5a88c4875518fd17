//! The client of an S3 service.

use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use backup_format::{Failure, Reason};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};
use url::Url;

use crate::args::StorageArgs;

/// The variables by which a cloud gives a pod credentials of its own.
const OWN_IDENTITY: [(&str, AmazonS3ConfigKey); 7] = [
    ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    ("AWS_ENDPOINT_URL_STS", AmazonS3ConfigKey::StsEndpoint),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
];
/// Of which at least one is there when the pod has an identity.
const SIGNS_OF_IDENTITY: [&str; 3] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer. The whole has no limit: a part may be large and the line slow.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// The client, which has sent nothing yet.
pub(super) fn build(bucket: &str, args: &StorageArgs) -> Result<AmazonS3, Failure> {
    let invalid = |message: &str| Failure::new(Reason::DestinationInvalid, message);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&args.s3_region)
        .with_virtual_hosted_style_request(!args.s3_force_path_style)
        .with_checksum_algorithm(Checksum::SHA256)
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(200),
                max_backoff: Duration::from_secs(10),
                base: 2.,
            },
            max_retries: 5,
            retry_timeout: Duration::from_mins(1),
        });
    if let Some(endpoint) = &args.s3_endpoint {
        let url = parse_endpoint(endpoint, args.s3_allow_http)?;
        builder = builder.with_allow_http(args.s3_allow_http).with_endpoint(plan_endpoint(
            &url,
            bucket,
            args.s3_force_path_style,
        ));
    }
    let mut options = ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(READ_TIMEOUT)
        .with_allow_http(args.s3_allow_http);
    if let Some(file) = &args.s3_ca_file {
        let pem = fs::read(file).map_err(|error| unreadable(file, &error))?;
        let authorities = Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if authorities.is_empty() {
            return Err(invalid(&format!("the CA file {} has no PEM certificate", file.display())));
        }
        options = authorities.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    builder = builder.with_client_options(options);
    builder = match (&args.s3_access_key_id_file, &args.s3_secret_access_key_file) {
        (Some(id), Some(secret)) => {
            let builder =
                builder.with_access_key_id(read_secret(id)?).with_secret_access_key(read_secret(secret)?);
            match &args.s3_session_token_file {
                Some(token) if token.exists() => builder.with_token(read_secret(token)?),
                _ => builder,
            }
        }
        _ => with_own_identity(builder)?,
    };
    builder.build().map_err(|error| {
        tracing::warn!(%error, "the S3 client cannot be made");
        invalid("the settings of the S3 storage do not fit together: check endpoint, region and CA file")
    })
}

/// The services that have no metadata server of AWS would only time out there, so it is not asked.
fn with_own_identity(mut builder: AmazonS3Builder) -> Result<AmazonS3Builder, Failure> {
    if SIGNS_OF_IDENTITY.iter().all(|name| env::var_os(name).is_none()) {
        return Err(Failure::new(
            Reason::CredentialsRefused,
            "there are no credentials for the S3 storage: name a Secret with an access key, or give the pod's ServiceAccount a web identity",
        ));
    }
    for (name, key) in OWN_IDENTITY {
        if let Ok(value) = env::var(name) {
            builder = builder.with_config(key, value);
        }
    }
    Ok(builder)
}

fn parse_endpoint(endpoint: &str, allow_http: bool) -> Result<Url, Failure> {
    let invalid = |message: &str| Failure::new(Reason::DestinationInvalid, message);
    let url = Url::parse(endpoint)
        .ok()
        .filter(|url| url.has_host() && matches!(url.scheme(), "https" | "http"))
        .ok_or_else(|| invalid("the S3 endpoint must be a URL: 'https://s3.example.com'"))?;
    if url.scheme() == "http" && !allow_http {
        return Err(invalid("the S3 endpoint has no TLS: use https, or allow http explicitly"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(invalid("the S3 endpoint must be a URL without credentials and without a query"));
    }
    Ok(url)
}

/// object_store wants the bucket in the endpoint's host itself when it is not in the path.
fn plan_endpoint(url: &Url, bucket: &str, force_path_style: bool) -> String {
    let text = url.as_str().trim_end_matches('/').to_owned();
    if force_path_style {
        return text;
    }
    text.replacen("://", &format!("://{bucket}."), 1)
}

fn read_secret(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Reason::DestinationInvalid,
        format!("the file {} cannot be read: {}", path.display(), error.kind()),
    )
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::no_url("s3.example.com", true, "must be a URL")]
    #[case::other_scheme("ftp://s3.example.com", true, "must be a URL")]
    #[case::no_tls("http://s3.example.com", false, "no TLS")]
    #[case::credentials("https://key:secret@s3.example.com", false, "without credentials")]
    fn other_endpoints_are_refused(#[case] endpoint: &str, #[case] allow_http: bool, #[case] expected: &str) {
        let failure = parse_endpoint(endpoint, allow_http).expect_err("is refused");
        assert_eq!(failure.reason, Reason::DestinationInvalid);
        assert!(failure.message.contains(expected), "{}", failure.message);
        assert!(!failure.message.contains("secret"));
    }

    #[rstest]
    #[case("https://s3.example.com/", true, "https://s3.example.com")]
    #[case("https://s3.example.com:9000", false, "https://backups.s3.example.com:9000")]
    fn the_bucket_is_in_the_host_unless_it_is_in_the_path(
        #[case] endpoint: &str,
        #[case] force_path_style: bool,
        #[case] expected: &str,
    ) {
        let url = parse_endpoint(endpoint, false).expect("is an endpoint");
        assert_eq!(plan_endpoint(&url, "backups", force_path_style), expected);
    }
}
