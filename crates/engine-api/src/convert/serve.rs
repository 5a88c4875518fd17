//! The server's side: requests are read, answers written.

mod answer;
mod instance;
mod request;

pub use request::page_request;
