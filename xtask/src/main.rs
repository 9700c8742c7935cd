//! The only door.
fn main() {}
