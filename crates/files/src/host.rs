//! The computer's name.

/// This computer's name, as far as known.
#[must_use]
pub fn host_name() -> Option<String> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::env::var("HOSTNAME"))
        .or_else(|_| std::env::var("COMPUTERNAME"));
    Some(host.ok()?.trim().into())
}
