//! Each mistake has its own message, at the line that made it.

mod backward;
mod mistakes;
mod operations;
mod sizes;
