/**
 * Error numbers of Xen (xen/include/public/errno.h), negated in results. Xen has numbers of its own, which are
 * Linux's for those that Heki needs.
 */
export const XenError = {
  EPERM: 1,
  ESRCH: 3,
  E2BIG: 7,
  ENOMEM: 12,
  EFAULT: 14,
  EINVAL: 22,
  ENOSYS: 38,
  EOPNOTSUPP: 95,
} as const;

/** Why bytes are not a message of an interface: what was read, where, and what is expected there. */
export interface XenWireFault {
  readonly field: string;
  readonly found: bigint;
  readonly expected: string;
}

/** A decoded message, or what is wrong with the bytes. */
export type XenDecoded<Message> =
  | { readonly ok: true; readonly message: Message }
  | { readonly ok: false; readonly fault: XenWireFault };
