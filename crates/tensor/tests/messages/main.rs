//! Each mistake has a message of its own, at the line that made it.

mod backward;
mod mistakes;
mod operations;
mod sizes;
