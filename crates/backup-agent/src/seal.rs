//! Encryption of the data with age, for one X25519 recipient. The storage never sees what is in a backup, and the pod that
//! makes backups cannot read them again.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};

use age::stream::StreamWriter;
use age::{DecryptError, Decryptor, Encryptor, x25519};
use backup_format::{Encryption, Failure, Reason, SCHEME_AGE};
use futures::AsyncRead;

use crate::hash::hex_sha256;

/// The public key that a backup is encrypted for.
#[derive(Clone)]
pub struct Recipient {
    key: x25519::Recipient,
    fingerprint: String,
}

/// The secret key that reads it. Has no `Debug`.
pub struct Identity(x25519::Identity);

impl Recipient {
    /// Reads a file with one recipient; comments begin with `#`.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = read_key(path)?;
        let key = x25519::Recipient::from_str(&text).map_err(|_| {
            let hint = if text.starts_with("AGE-SECRET-KEY-") {
                "it holds a secret key, which must never be given to what makes backups; give its public key"
            } else {
                "expected one age X25519 recipient"
            };
            Failure::new(
                Reason::EncryptionKeyInvalid,
                format!("the recipient file {}: {hint} (age1…, as 'age-keygen' prints it)", path.display()),
            )
        })?;
        let fingerprint = hex_sha256(key.to_string().as_bytes());
        Ok(Self { key, fingerprint })
    }

    /// What the manifest says of it.
    pub fn encryption(&self) -> Encryption {
        Encryption { scheme: SCHEME_AGE.to_owned(), recipient_fingerprint: self.fingerprint.clone() }
    }
}

impl Identity {
    /// Reads a file with one secret key; comments begin with `#`.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let key = x25519::Identity::from_str(&read_key(path)?).map_err(|_| {
            Failure::new(
                Reason::EncryptionKeyInvalid,
                format!(
                    "the identity file {}: expected one age X25519 secret key (AGE-SECRET-KEY-1…, as 'age-keygen' prints it)",
                    path.display()
                ),
            )
        })?;
        Ok(Self(key))
    }

    /// Whether it reads what was encrypted for the recipient with this fingerprint.
    pub fn fits(&self, encryption: &Encryption) -> bool {
        hex_sha256(self.0.to_public().to_string().as_bytes()) == encryption.recipient_fingerprint
    }

    /// The plain data of an encrypted stream. Each piece of 64 KiB is authenticated before it is handed on.
    pub async fn open<R: AsyncRead + Unpin>(&self, from: R) -> Result<impl AsyncRead + use<R>, DecryptError> {
        Decryptor::new_async(from).await?.decrypt_async(std::iter::once(&self.0 as &dyn age::Identity))
    }
}

/// The one line that is no comment.
fn read_key(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::new(
            Reason::EncryptionKeyInvalid,
            format!("the key file {} cannot be read: {}", path.display(), error.kind()),
        )
    })?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    match (lines.next(), lines.next()) {
        (Some(line), None) => Ok(line.to_owned()),
        (found, _) => Err(Failure::new(
            Reason::EncryptionKeyInvalid,
            format!(
                "the key file {} has {} keys, expected exactly one",
                path.display(),
                if found.is_some() { "several" } else { "no" }
            ),
        )),
    }
}

/// Turns the dump into what is stored.
pub enum Sealer {
    /// As it is.
    Plain,
    /// Encrypted.
    Age {
        /// What age has written and was not taken yet.
        sealed: Sealed,
        /// Encrypts into it.
        writer: StreamWriter<Sealed>,
    },
}

/// A writer into memory whose content can be taken out.
#[derive(Clone, Default)]
pub struct Sealed(Arc<Mutex<Vec<u8>>>);

impl Sealed {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Sealed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sealer {
    /// For this recipient, or for none.
    pub fn new(recipient: Option<&Recipient>) -> Result<Self, Failure> {
        let Some(recipient) = recipient else { return Ok(Self::Plain) };
        let sealed = Sealed::default();
        let encryptor = Encryptor::with_recipients(std::iter::once(&recipient.key as &dyn age::Recipient))
            .map_err(|_| cannot_encrypt())?;
        let writer = encryptor.wrap_output(sealed.clone()).map_err(|_| cannot_encrypt())?;
        Ok(Self::Age { sealed, writer })
    }

    /// What is to be stored after these bytes came.
    pub fn seal(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Plain => Ok(bytes.to_vec()),
            Self::Age { sealed, writer } => {
                writer.write_all(bytes).map_err(|_| cannot_encrypt())?;
                Ok(sealed.take())
            }
        }
    }

    /// What is to be stored at the end.
    pub fn finish(self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Plain => Ok(Vec::new()),
            Self::Age { sealed, writer } => {
                writer.finish().map_err(|_| cannot_encrypt())?;
                Ok(sealed.take())
            }
        }
    }
}

fn cannot_encrypt() -> Failure {
    // Into memory, so nothing but a mistake in the program can be the cause.
    Failure::new(Reason::InternalError, "the data cannot be encrypted")
}

#[cfg(test)]
mod tests;
