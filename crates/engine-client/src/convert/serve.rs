//! The server's side, for the fake.

mod answer;
mod instance;
mod request;
