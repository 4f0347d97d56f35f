//! The few system calls that no safe crate offers. Everything unsafe of the agent is in this file.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// `BLKRRPART`, linux/fs.h: read the partition table again.
const BLKRRPART: libc::c_ulong = 0x125f;
/// `EXT4_IOC_RESIZE_FS`, `_IOW('f', 16, __u64)`.
const EXT4_IOC_RESIZE_FS: libc::c_ulong = 0x4008_6610;
/// `LOOP_CTL_GET_FREE`, linux/loop.h.
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4c82;
/// `LOOP_CONFIGURE`, linux/loop.h (5.8).
const LOOP_CONFIGURE: libc::c_ulong = 0x4c0a;
/// The loop device goes away with its last user.
const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// IPv4 in an Ethernet frame, network byte order.
const ETH_P_IP: u16 = 0x0800_u16.to_be();

/// `struct loop_info64`, linux/loop.h.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`, linux/loop.h.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Makes the kernel read a disk's partition table again.
pub fn reread_partitions(disk: &File) -> io::Result<()> {
    // SAFETY: the request takes no argument; the descriptor is open for the whole call.
    check(unsafe { libc::ioctl(disk.as_raw_fd(), BLKRRPART) }).map(|_| ())
}

/// Grows a mounted ext4 file system, named by its open root folder, to `blocks` of its own block size.
pub fn grow_ext4(root: &File, blocks: u64) -> io::Result<()> {
    // SAFETY: the request reads one u64 from the pointer, which lives until the call returns.
    check(unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_RESIZE_FS, &raw const blocks) }).map(|_| ())
}

/// Number of a loop device that nothing uses, from the open `/dev/loop-control`.
pub fn free_loop(control: &File) -> io::Result<u32> {
    // SAFETY: the request takes no argument; the descriptor is open for the whole call.
    let number = check(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) })?;
    u32::try_from(number).map_err(io::Error::other)
}

/// Lets `device`, a free loop device, show `len` bytes of `backing` from `offset`, until its last user is gone.
pub fn attach_loop(device: &File, backing: &File, offset: u64, len: u64) -> io::Result<()> {
    let info = LoopInfo {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset,
        size_limit: len,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: LO_FLAGS_AUTOCLEAR,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
    let fd = u32::try_from(backing.as_raw_fd()).map_err(io::Error::other)?;
    let config = LoopConfig { fd, block_size: 0, info, reserved: [0; 8] };
    // SAFETY: the request reads one struct loop_config, whose layout LoopConfig repeats, from a live pointer.
    check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) }).map(|_| ())
}

/// Loads a kernel for `reboot(RB_KEXEC)`.
pub fn kexec_load(kernel: &File, initrd: &File, cmdline: &str) -> io::Result<()> {
    let cmdline = CString::new(cmdline).map_err(io::Error::other)?;
    let bytes = cmdline.as_bytes_with_nul();
    // SAFETY: both descriptors are open for the whole call; the pointer and the length (with the final NUL, as
    // kexec_file_load(2) asks) describe `bytes`, which outlives it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            kernel.as_raw_fd(),
            initrd.as_raw_fd(),
            bytes.len(),
            bytes.as_ptr(),
            0_u64,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes `root` the root of the program that `command` starts, in a session of its own.
pub fn enter_root(command: &mut Command, root: &Path) {
    let root = root.to_owned();
    let enter = move || {
        rustix::process::chroot(&root)?;
        rustix::process::chdir("/")?;
        rustix::process::setsid()?;
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes three system calls and allocates nothing: rustix passes short
    // paths on the stack, and `root` is shorter than its limit by construction (a folder of /run).
    unsafe { command.pre_exec(enter) };
}

/// A packet socket for IPv4 on one interface: DHCP happens before the interface has an address, and answers
/// must arrive whatever the reverse path filter thinks of their sender.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    index: i32,
}

impl PacketSocket {
    /// Opens the socket on the interface with this index; reads give up after `patience`.
    pub fn open(index: u32, patience: Duration) -> io::Result<Self> {
        let index = i32::try_from(index).map_err(io::Error::other)?;
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
        // SAFETY: no pointers; the result is checked before use.
        let raw = check(unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(ETH_P_IP)) })?;
        // SAFETY: `raw` was just returned by socket(2) and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        rustix::net::sockopt::set_socket_timeout(&fd, rustix::net::sockopt::Timeout::Recv, Some(patience))?;
        let address = address(index);
        // SAFETY: the pointer and the size describe one sockaddr_ll that outlives the call.
        check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size_of_address()) })?;
        Ok(Self { fd, index })
    }

    /// Sends an IPv4 packet to everybody on the link.
    pub fn broadcast(&self, packet: &[u8]) -> io::Result<()> {
        let to = address(self.index);
        // SAFETY: pointer and length describe `packet`; the address is one sockaddr_ll; both outlive the call.
        let sent = unsafe {
            libc::sendto(
                self.fd.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                0,
                (&raw const to).cast(),
                size_of_address(),
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Receives one IPv4 packet into `buffer`.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (len, _) = rustix::net::recv(&self.fd, buffer, rustix::net::RecvFlags::empty())?;
        Ok(len)
    }
}

fn address(index: i32) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ETH_P_IP,
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0],
    }
}

fn size_of_address() -> libc::socklen_t {
    size_of::<libc::sockaddr_ll>() as libc::socklen_t
}
