//! Logical backups of an engine's database, and restores of them. Runs once, in a Job that a controller has built, and
//! answers with one document ([`backup_format::Outcome`]) and an exit code.
//!
//! Owns: what is in a backup, how it is read and written, the proof that it is complete, and the order of a restore.
//! Never does: speak to Kubernetes, decide when a backup is made or deleted, migrate a schema, start an engine.
//!
//! Modules: [`args`] → [`run`] → [`backup`], [`verify`], [`restore`], [`adopt`], [`inspect`], [`delete`], [`drill`]. They read the database through
//! [`database`], [`reading`], [`snapshot`] and [`census`], the destination through [`storage`] and [`artefact`], and run
//! PostgreSQL's programs through [`programs`].

pub mod adopt;
pub mod args;
pub mod artefact;
pub mod backup;
pub mod census;
pub mod clock;
pub mod copied;
pub mod database;
pub mod delete;
pub mod drill;
pub mod dump;
mod hash;
pub mod inspect;
pub mod programs;
pub mod reading;
pub mod restore;
pub mod run;
pub mod seal;
pub mod snapshot;
pub mod storage;
pub mod verify;
