/** Error numbers of Linux that KVM's ioctls return, negated. */
export const Errno = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EFAULT: 14,
  EEXIST: 17,
  EINVAL: 22,
  ENOTTY: 25,
} as const;
