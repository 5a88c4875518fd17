//! What goes through the guard: everything, but for a request for the password in clear text and an offer that only a client
//! with TLS of its own could take.

use std::io::{self, ErrorKind};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::CLEAR_TEXT_REFUSED;

/// `AuthenticationRequest`, and its kind `AuthenticationCleartextPassword`.
const AUTHENTICATION: u8 = b'R';
const CLEAR_TEXT_PASSWORD: [u8; 4] = [0, 0, 0, 3];
/// `AuthenticationSASL`: names of mechanisms, each ended by a zero byte, and one more zero byte.
const SASL: [u8; 4] = [0, 0, 0, 10];
/// The mechanism that is bound to the TLS channel, which ends here.
const BOUND_TO_CHANNEL: &[u8] = b"SCRAM-SHA-256-PLUS";
/// `ReadyForQuery`: from here on nobody is asked for a password.
const READY_FOR_QUERY: u8 = b'Z';
/// No message before that is longer; what a server asks us to keep must have an end.
const MAX_LENGTH: u32 = 64 * 1024;

/// Hands on both directions until one of them ends.
pub(crate) async fn hand_on<S: AsyncRead + AsyncWrite>(client: UnixStream, server: S) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let answers = async {
        hand_on_authentication(&mut from_server, &mut to_client).await?;
        tokio::io::copy(&mut from_server, &mut to_client).await
    };
    tokio::select! {
        ended = answers => ended,
        ended = tokio::io::copy(&mut from_client, &mut to_server) => ended,
    }
    .map(|_| ())
}

/// Forwards the server's messages up to the end of the login, each as a whole: the client gets no part of a message
/// that was not checked.
async fn hand_on_authentication(
    server: &mut (impl AsyncRead + Unpin),
    client: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    loop {
        let kind = server.read_u8().await?;
        let length = server.read_u32().await?;
        let Some(rest) = length.checked_sub(4).filter(|_| length <= MAX_LENGTH) else {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "a message of the login has an impossible length",
            ));
        };
        let mut message = vec![kind];
        message.extend(length.to_be_bytes());
        let body = message.len();
        message.resize(body + rest as usize, 0);
        server.read_exact(&mut message[body..]).await?;
        if kind == AUTHENTICATION && message[body..].starts_with(&CLEAR_TEXT_PASSWORD) {
            client.write_all(&build_refusal()).await?;
            return Err(io::Error::new(
                ErrorKind::PermissionDenied,
                "the server asks for the password in clear text",
            ));
        }
        if kind == AUTHENTICATION && message[body..].starts_with(&SASL) {
            message = build_offer(&message[body + SASL.len()..]);
        }
        client.write_all(&message).await?;
        if kind == READY_FOR_QUERY {
            return Ok(());
        }
    }
}

/// `AuthenticationSASL` without the mechanism that is bound to the channel. libpq ends the login when it is offered that on a
/// connection without TLS, which the way to the guard is.
fn build_offer(mechanisms: &[u8]) -> Vec<u8> {
    let mut body = SASL.to_vec();
    for name in mechanisms.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name != BOUND_TO_CHANNEL {
            body.extend(name);
            body.push(0);
        }
    }
    body.push(0);
    build_message(AUTHENTICATION, &body)
}

fn build_message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    let mut message = vec![kind];
    message.extend(length.to_be_bytes());
    message.extend(body);
    message
}

/// `ErrorResponse`, as a server says that a login failed.
fn build_refusal() -> Vec<u8> {
    let fields = format!(
        "SFATAL\0VFATAL\0C{CLEAR_TEXT_REFUSED}\0Mthe server asks for the password in clear text and was not verified\0\0"
    );
    build_message(b'E', fields.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_that_needs_tls_at_the_client_is_left_out() {
        let offered = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
        assert_eq!(build_offer(offered), b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0");
        let offered = b"SCRAM-SHA-256\0\0";
        assert_eq!(build_offer(offered), b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0");
    }
}
