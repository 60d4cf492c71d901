//! What differs between platforms about processes: becoming another program, and a lock that lasts as long as a process.
//!
//! On Unix the shim is replaced by the program that it stands for, so signals, exit codes, streams and the process id are that
//! program's own and nothing has to be forwarded. A lock of the BSD kind would travel with its file descriptor into every
//! grandchild, and a compiler daemon could hold it for ever. The older record locks belong to the process: they outlive the
//! replacement, die with the process however it dies, and are inherited by nobody. (Before Linux 5.11 they were lost
//! when a program with several threads was replaced; a link could then be moved while it is in use.)

pub use platform::{Lock, become_program, identity, is_executable, is_locked};

#[cfg(unix)]
mod platform {
    use std::io;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    use std::path::Path;
    use std::process::{Command, ExitCode};

    use rustix::fs::{FlockOperation, fcntl_lock};
    use rustix::io::{FdFlags, fcntl_setfd};

    /// A file that this process can lock, alone or together with others. Opening the same file twice in one process would
    /// lose the lock when either is closed, so every lock file is opened once.
    #[derive(Debug)]
    pub struct Lock(fs_err::File);

    impl Lock {
        pub fn open(path: &Path) -> io::Result<Self> {
            let mut options = fs_err::OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).open(path).map(Self)
        }

        /// Whether nobody else holds it now; it is held from then on, in this way and no other.
        pub fn try_alone(&self) -> io::Result<bool> {
            self.attempt(FlockOperation::NonBlockingLockExclusive)
        }

        /// The same beside others who share it.
        pub fn try_together(&self) -> io::Result<bool> {
            self.attempt(FlockOperation::NonBlockingLockShared)
        }

        fn attempt(&self, operation: FlockOperation) -> io::Result<bool> {
            match fcntl_lock(self.0.file(), operation) {
                Ok(()) => Ok(true),
                Err(rustix::io::Errno::ACCESS | rustix::io::Errno::AGAIN) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }

        /// Lets go, for when nothing came of it.
        pub fn release(&self) -> io::Result<()> {
            Ok(fcntl_lock(self.0.file(), FlockOperation::Unlock)?)
        }

        /// Holds it until the process ends, also as another program.
        pub fn keep(self) -> io::Result<()> {
            fcntl_setfd(self.0.file(), FdFlags::empty())?;
            std::mem::forget(self.0);
            Ok(())
        }
    }

    /// Whether somebody holds a file in the way that Cargo holds the lock of a build. Leaves it as it was.
    pub fn is_locked(path: &Path) -> bool {
        let shared = |file: &fs_err::File| rustix::fs::flock(file.file(), FlockOperation::NonBlockingLockShared);
        !fs_err::File::open(path).is_ok_and(|file| shared(&file).is_ok())
    }

    /// Comes back only with an error.
    pub fn become_program(command: &mut Command) -> io::Result<ExitCode> {
        Err(command.exec())
    }

    pub fn is_executable(path: &Path) -> bool {
        fs_err::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    }

    /// Equal for two paths of one file, through links of either kind.
    pub fn identity(path: &Path) -> Option<(u64, u64)> {
        fs_err::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
    }
}

#[cfg(windows)]
mod platform {
    use std::io;
    use std::path::Path;
    use std::process::{Command, ExitCode};

    use winapi_util::Handle;

    /// Nothing is ever shared here, so there is nothing to lock.
    #[derive(Debug)]
    pub struct Lock;

    impl Lock {
        pub fn open(_path: &Path) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub fn try_alone(&self) -> io::Result<bool> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub fn try_together(&self) -> io::Result<bool> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub fn release(&self) -> io::Result<()> {
            Ok(())
        }

        pub fn keep(self) -> io::Result<()> {
            Ok(())
        }
    }

    pub fn is_locked(_path: &Path) -> bool {
        true
    }

    /// Runs the program to its end and passes on how it ended. The console tells both of an interruption.
    #[expect(clippy::disallowed_methods, reason = "what this program becomes ends by itself")]
    pub fn become_program(command: &mut Command) -> io::Result<ExitCode> {
        let code = command.status()?.code().unwrap_or(1);
        Ok(u8::try_from(code & 0xff).map_or(ExitCode::FAILURE, ExitCode::from))
    }

    pub fn is_executable(path: &Path) -> bool {
        fs_err::metadata(path).is_ok_and(|meta| meta.is_file())
    }

    /// Equal for two paths of one file, through links of either kind.
    pub fn identity(path: &Path) -> Option<(u64, u64)> {
        let of = winapi_util::file::information(Handle::from_path_any(path).ok()?).ok()?;
        Some((of.volume_serial_number(), of.file_index()))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_given_back_when_it_is_released() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::open(&dir.path().join("lock")).unwrap();
        assert!(lock.try_alone().unwrap() && lock.try_together().unwrap());
        lock.release().unwrap();
        assert!(lock.try_alone().unwrap());
    }
}
