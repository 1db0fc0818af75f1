"""A process that gives up all it won't need: from then on the kernel itself refuses the rest (seccomp, Linux).

What is left is computing: memory, threads, the clock, reading files, and writing to what is open already. No socket of
any kind, no process, no file made, written, moved or removed, no signal to another process. Refused calls fail with
EPERM, so that Python raises PermissionError and goes on. Nobody, root neither, can take it back.
Imports nothing of ours: it is run beside untrusted code.
"""

import ctypes
import struct
import sys

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

# (x86-64, arm64), from the kernel's tables; None where the architecture has no such call
_ALLOWED: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67), "lseek": (8, 62),
    "close": (3, 57), "dup": (32, 23), "fcntl": (72, 25),
    "stat": (4, None), "lstat": (6, None), "fstat": (5, 80), "newfstatat": (262, 79), "statx": (332, 291),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439), "getcwd": (79, 17),
    "readlink": (89, None), "readlinkat": (267, 78), "getdents64": (217, 61),
    "poll": (7, None), "select": (23, None), "pselect6": (270, 72), "ppoll": (271, 73),
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214), "mremap": (25, 216),
    "madvise": (28, 233),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "futex": (202, 98), "set_robust_list": (273, 99), "set_tid_address": (218, 96), "rseq": (334, 293),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "restart_syscall": (219, 128),
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "gettimeofday": (96, 169), "times": (100, 153), "getrusage": (98, 165), "sysinfo": (99, 179), "uname": (63, 160),
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "getrandom": (318, 278), "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip

_WRITING = 0x3 | 0x40 | 0x200 | 0x400 | 0x400000  # open's O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND, O_TMPFILE
_THREAD = 0x10000  # clone's CLONE_THREAD
_TERMINAL, _CLOSE_ON_EXEC = 0x5401, 0x5451  # ioctl's TCGETS, which is how Python asks for a terminal, and FIOCLEX

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _EPERM, _ENOSYS = 0x7FFF0000, 0x00050000 + 1, 0x00050000 + 38
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2

Instruction = tuple[int, int, int, int]  # what, how far if so, how far if not, with what


def give_up() -> None:
    """From here on only what is allowed.

    Raises:
        OSError: the kernel or the machine can't be held to it; nothing untrusted may be run then.
    """
    program = b"".join(struct.pack("HBBI", *one) for one in filter_for(_machine()))
    buffer = ctypes.create_string_buffer(program, len(program))

    class _Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    library = ctypes.CDLL(None, use_errno=True)
    held = _Program(len(program) // 8, ctypes.addressof(buffer))
    if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or library.prctl(_SECCOMP, _FILTER, ctypes.byref(held), 0, 0):
        raise OSError(ctypes.get_errno(), "this kernel takes no filter of system calls (seccomp)")


def filter_for(machine: str) -> list[Instruction]:
    """The kernel's program (classic BPF over ``struct seccomp_data``) for an architecture.

    Raises:
        OSError: we don't know the numbers of its calls.
    """
    if machine not in _ARCHITECTURES:
        raise OSError(0, f"system calls of {machine} can't be filtered, only those of {', '.join(_ARCHITECTURES)}")
    audit, column = _ARCHITECTURES[machine]
    found: list[Instruction] = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, audit), _give(_EPERM), (_LOAD, 0, 0, 0)]
    for numbers in _ALLOWED.values():
        number = numbers[column]
        if number is not None:
            found += [(_EQUAL, 0, 1, number), _give(_ALLOW)]
    read_only = ({257: 2, 2: 1}, {56: 2})[column]  # openat and open, with the place of their flags
    for number, place in read_only.items():
        found += _if(number, [_argument(place), (_ANY_BIT, 0, 1, _WRITING), _give(_EPERM), _give(_ALLOW)])
    found += _if((56, 220)[column], [_argument(0), (_ANY_BIT, 0, 1, _THREAD), _give(_ALLOW), _give(_EPERM)])
    asked = [(_EQUAL, 1, 0, _TERMINAL), (_EQUAL, 0, 1, _CLOSE_ON_EXEC), _give(_ALLOW), _give(_EPERM)]
    found += _if((16, 29)[column], [_argument(1), *asked])
    # prlimit64 to read a limit: no new one is given, both halves of the pointer are 0
    reading = [_argument(2), (_EQUAL, 0, 3, 0), _argument(2, high=True), (_EQUAL, 0, 1, 0)]
    found += _if((302, 261)[column], [*reading, _give(_ALLOW), _give(_EPERM)])
    # clone3 hides its flags behind a pointer: told that there is none, the C library takes clone
    return [*found, (_EQUAL, 0, 1, 435), _give(_ENOSYS), _give(_EPERM)]


def _machine() -> str:
    import os

    if sys.platform != "linux":
        raise OSError(0, f"{sys.platform} has no filter of system calls")
    return os.uname().machine


def _if(number: int, then: list[Instruction]) -> list[Instruction]:
    """The call of this number ends in ``then``, any other goes on behind it."""
    return [(_EQUAL, 0, len(then), number), *then]


def _argument(place: int, *, high: bool = False) -> Instruction:
    return (_LOAD, 0, 0, 16 + 8 * place + 4 * high)  # both architectures are little-endian


def _give(answer: int) -> Instruction:
    return (_RETURN, 0, 0, answer)
