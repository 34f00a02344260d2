//! Whether an address is this machine, so that nobody is on the way to it.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Of `HOST:PORT`, of a broker's `PROTOCOL://HOST:PORT`, of a URL. What cannot be read is another machine.
pub fn is_loopback(address: &str) -> bool {
    let address = match address.split_once("://") {
        Some((_, rest)) => rest.split('/').next().unwrap_or_default(),
        None => address,
    };
    let host = match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => address,
    };
    let in_brackets = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match in_brackets {
        Some(number) => number.parse().is_ok_and(|it: Ipv6Addr| it.is_loopback()),
        None => {
            host.eq_ignore_ascii_case("localhost")
                || host.parse().is_ok_and(|it: Ipv4Addr| it.is_loopback())
        }
    }
}

/// Whether what is asked by a URL, and answered, can be read on the way.
pub fn is_plaintext_url(url: &str) -> bool {
    scheme_of(url) == "http" && !is_loopback(url)
}

/// The scheme of a URL, in small letters; empty where there is none.
pub fn scheme_of(url: &str) -> String {
    let (scheme, _) = url.split_once("://").unwrap_or_default();
    scheme.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn loopback() {
        for address in [
            "localhost:9092",
            "Localhost",
            "127.0.0.1:9092",
            "127.3.2.1",
            "[::1]:9092",
            "[::1]",
            "PLAINTEXT://localhost:9092",
            "http://localhost:8081",
            "http://localhost/apis/ccompat/v7",
            "http://[::1]/subjects",
        ] {
            assert!(is_loopback(address), "{address}");
        }
        for address in [
            "",
            "kafka:9092",
            "10.0.0.1:9092",
            "0.0.0.0:9092",
            "[2001:db8::1]:9092",
            "[127.0.0.1]:9092",
            "localhost.evil:1",
            "127.0.0.1.evil:1",
            // An address of IPv6 without a port.
            "::1:9092",
            "http://registry:8081/localhost:1",
            "PLAINTEXT://kafka:9092/://localhost:1",
            // What stands before an @ is a user.
            "https://localhost:@evil/",
            "https://localhost@evil",
        ] {
            assert!(!is_loopback(address), "{address}");
        }
    }
}
