//! Each mistake has its own message, at the line that made it.

mod backward;
mod operations;
mod sizes;
