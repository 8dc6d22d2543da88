/**
 * Error numbers of Linux (include/uapi/asm-generic/errno-base.h, errno.h), as its functions, KVM's ioctls and the secure kernel of
 * LVBS return them: negated.
 */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  ENOEXEC: 8,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EINVAL: 22,
  ETXTBSY: 26,
  ERANGE: 34,
  ENOSYS: 38,
  EBADMSG: 74,
  EOPNOTSUPP: 95,
  EKEYREJECTED: 129,
} as const;
