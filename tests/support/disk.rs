//! A small disk that a test may fill, or make read-only.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs of 64 MiB, unmounted in the end.
pub struct Disk {
    pub path: PathBuf,
}

impl Disk {
    const BYTES: usize = 64 << 20;

    pub fn mount(path: PathBuf) -> Option<Disk> {
        fs::create_dir(&path).expect("a directory");
        let size = format!("size={}", Disk::BYTES);
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "none"])
            .arg(&path)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Disk { path });
        }
        assert!(
            std::env::var_os("CI").is_none(),
            "this must be tested in CI: let the tests mount a tmpfs"
        );
        eprintln!("not tested: only root may mount the tmpfs that stands for a disk");
        None
    }

    pub fn remount_read_only(&self) {
        let status = Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(&self.path)
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "remount {:?}",
            self.path
        );
    }

    /// Writes a file that leaves about `left` bytes, also while others write.
    pub fn fill(&self, left: usize) -> PathBuf {
        let path = self.path.join("filler");
        let mut filler = fs::File::create(&path).expect("a file");
        while filler.write_all(&[1; 4 << 10]).is_ok() {}
        let size = filler.metadata().expect("a size").len();
        filler
            .set_len(size.saturating_sub(left as u64))
            .expect("less than before");
        path
    }

    /// Takes what was freed since: a database deletes files when it likes.
    pub fn top_up(&self, filler: &Path) {
        let mut filler = fs::File::options()
            .append(true)
            .open(filler)
            .expect("the filler");
        while filler.write_all(&[1; 4 << 10]).is_ok() {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmount = |path: &Path| Command::new("umount").arg(path).status();
        assert!(
            unmount(&self.path).is_ok_and(|status| status.success()),
            "umount {:?}",
            self.path
        );
    }
}
