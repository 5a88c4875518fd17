//! The server's side, for the fake.

mod answer;
mod request;
