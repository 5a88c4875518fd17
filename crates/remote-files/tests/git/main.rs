//! Against a real git server (`git http-backend`) and against the worst that a server can do.

mod hostile;
mod reading;
mod refusals;
mod world;
