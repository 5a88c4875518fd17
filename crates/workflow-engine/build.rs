//! `sqlx::migrate!` embeds the folder. Without this line, a new migration file would not cause a rebuild of the crate.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
