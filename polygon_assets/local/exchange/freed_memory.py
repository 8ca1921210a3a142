"""The memory that arrays free stays with the process: fetching it anew costs more than using it.

Only this setting of the C library belongs here.
"""

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # from glibc's <malloc.h>
_KEPT_BYTES = 128 << 20
_LARGEST_BLOCK_BYTES = 32 << 20  # glibc accepts no more


def keep_freed_memory() -> None:
    """Let glibc keep up to 128 MB that arrays have freed; elsewhere nothing changes.

    By default it returns each array of some megabytes to the kernel, which clears the pages of the
    next one: a quarter of the time of a day's sum.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK_BYTES)
