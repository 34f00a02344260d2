//! A secret: read from a file, shown to nobody.

use std::fmt;
use std::fs;
use std::path::Path;

/// More than any password, token or key in PEM.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// The content of a secret file without the end of its last line. Neither `Debug` nor an error
/// shows it, and its memory is overwritten when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Reads a file. The error says what is wrong, without the content.
    pub fn read(path: &Path) -> Result<Secret, String> {
        let place = path.display();
        let bytes = fs::read(path)
            .map_err(|error| format!("{place}: {error}; give a file that this user can read"))?;
        let text = String::from_utf8(bytes).map_err(|_| format!("{place}: is not text"))?;
        // No copy of it is left behind.
        let mut secret = Secret(text);
        let text = secret.reveal();
        let text = text.strip_suffix('\n').unwrap_or(text);
        let length = text.strip_suffix('\r').unwrap_or(text).len();
        if length == 0 {
            return Err(format!("{place}: is empty; write the secret into it"));
        }
        if length > SECRET_BYTES_MAX {
            return Err(format!("{place}: is longer than {SECRET_BYTES_MAX} bytes"));
        }
        secret.0.truncate(length);
        Ok(secret)
    }

    /// The secret itself, for the one call that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        // What is looked at is not optimised away.
        std::hint::black_box(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_is_read_without_its_line_end_and_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        for (content, secret) in [("hush\n", "hush"), ("hush\r\n", "hush"), (" a b ", " a b ")] {
            std::fs::write(&path, content).unwrap();
            let read = Secret::read(&path).unwrap();
            assert_eq!(read.reveal(), secret);
            assert_eq!(format!("{read:?}"), "(secret)");
        }
    }

    #[test]
    fn a_file_without_a_secret_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        assert!(Secret::read(&path).unwrap_err().contains("No such file"));
        std::fs::write(&path, "\n").unwrap();
        assert!(Secret::read(&path).unwrap_err().contains("is empty"));
        std::fs::write(&path, [b'h', 0xff]).unwrap();
        let error = Secret::read(&path).unwrap_err();
        assert!(error.contains("not text") && !error.contains('h'.to_string().repeat(2).as_str()));
        std::fs::write(&path, "x".repeat(super::SECRET_BYTES_MAX + 1)).unwrap();
        assert!(Secret::read(&path).unwrap_err().contains("longer than"));
    }
}
