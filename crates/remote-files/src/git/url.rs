//! The address of a repository. Pure.

use std::fmt;

use url::{Host, Url};

use crate::{Error, ErrorKind};

/// An `https://` address of a repository, in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryUrl(Url);

impl RepositoryUrl {
    /// Parses and checks an address.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] unless it is `https://host[:port]/path`, without user, query and fragment.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |why: &str| {
            let expected = "expected https://host/path without user, query and fragment";
            Error::new(ErrorKind::Malformed, format!("the URL of the repository {why}; {expected}"))
        };
        let url = Url::parse(text).map_err(|_| refuse("is no URL"))?;
        if url.scheme() != "https" {
            return Err(refuse("is not https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("has a user"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("has a query or a fragment"));
        }
        match url.host() {
            Some(Host::Domain(name)) if name.starts_with('-') => {
                Err(refuse("has a host that begins with '-'"))
            }
            None => Err(refuse("has no host")),
            Some(_) => Ok(Self(url)),
        }
    }

    /// As a URL.
    #[must_use]
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// Its host, with the port unless that is 443.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.0.port() {
            Some(port) => format!("{}:{port}", self.host()),
            None => self.host().to_owned(),
        }
    }

    /// Its host.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests;
