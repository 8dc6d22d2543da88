import type { Answer, Refusal } from '@heki/code-authority';
import { Errno } from '@heki/hypercall/errno';
import { KvmError } from '@heki/hypercall/kvm';

const ERROR: { readonly [why in Refusal]: number } = {
  'wrong-time': Errno.EPERM,
  'not-signed': Errno.EKEYREJECTED,
  malformed: Errno.EINVAL,
  'not-free': Errno.EBUSY,
  unresolved: Errno.ENOEXEC,
  'unsafe-boot': Errno.EACCES,
  'not-in-grammar': Errno.EACCES,
  mismatch: Errno.EBADMSG,
  'no-such-image': Errno.ESRCH,
  'no-such-site': Errno.ENXIO,
  'no-such-state': Errno.ERANGE,
  frozen: Errno.EACCES,
  'in-use': Errno.ETXTBSY,
};

/** What the guest gets: 0 or the number of an image, or a negative error number with why. */
export interface Result {
  readonly result: number;
  readonly refused?: string;
}

export function malformed(refused: string): Result {
  return { result: -KvmError.EINVAL, refused };
}

export function resultOf(answer: Answer<number | undefined>): Result {
  if (answer.ok) return { result: answer.value ?? 0 };
  return { result: -ERROR[answer.why], refused: `${answer.why}: ${answer.text}` };
}
