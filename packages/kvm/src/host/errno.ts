/** Error numbers of Linux that KVM's ioctls return, negated. */
export const Errno = {
  ENOENT: 2,
  ENOMEM: 12,
  EEXIST: 17,
  EINVAL: 22,
} as const;
