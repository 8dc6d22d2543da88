import {
  decodePageList,
  forEachRange,
  MEM_ATTR_EXEC,
  MEM_ATTR_IMMUTABLE,
  MEM_ATTR_READ,
  MEM_ATTR_WRITE,
  type PageListFault,
} from '@heki/hypercall/kvm';
import { XEN_HEKI_DENY_READING, XEN_HEKI_DENY_USER_EXECUTION, XenError } from '@heki/hypercall/xen';
import type { ProtectionRange, Refusal } from '@heki/hypervisor';
import type { Gfn, PhysicalMemory } from '@heki/physical-memory';

/** A request that was read, or why it cannot be, as an error number and in the words of the contract. */
export type Reading =
  | { readonly ok: true; readonly ranges: readonly ProtectionRange[] }
  | { readonly ok: false; readonly error: number; readonly why: Refusal };

/**
 * Reads the guest's page list out of its memory, mapped into the monitor's domain: bounded, each field once. EXEC is the
 * kernel's execution, `flags` say what a list cannot.
 *
 * @param onRead a page of it was read
 */
export function readRequest(
  memory: PhysicalMemory<Gfn>,
  list: bigint,
  maxPages: number,
  flags: bigint,
  onRead: () => void,
): Reading {
  let read = false;
  const decoded = decodePageList({
    memory: {
      writablePage: (frame) => memory.writablePage(frame),
      page(frame) {
        if (read) onRead();
        read = true;
        return memory.page(frame);
      },
    },
    list,
    maxPages,
  });
  onRead();
  if (!decoded.ok) return { ok: false, ...refusalOf(decoded.fault) };
  const ranges: ProtectionRange[] = [];
  forEachRange(decoded.pages, (start, end, permissions) => {
    ranges.push({
      start,
      end,
      rights: {
        read: (permissions & MEM_ATTR_READ) !== 0 && (flags & XEN_HEKI_DENY_READING) === 0n,
        write: (permissions & MEM_ATTR_WRITE) !== 0,
        supervisorExecute: (permissions & MEM_ATTR_EXEC) !== 0,
        userExecute: (flags & XEN_HEKI_DENY_USER_EXECUTION) === 0n,
      },
      immutable: (permissions & MEM_ATTR_IMMUTABLE) !== 0,
    });
  });
  return { ok: true, ranges };
}

function refusalOf({ code, found }: PageListFault): { readonly error: number; readonly why: Refusal } {
  switch (code) {
    case 'too-many-pages':
      return { error: -XenError.E2BIG, why: 'too-much' };
    case 'page-absent':
      return { error: -XenError.EFAULT, why: 'bad-request' };
    case 'bad-range':
      return { error: -XenError.EINVAL, why: found % 4096n === 0n ? 'empty' : 'misaligned' };
    default:
      return { error: -XenError.EINVAL, why: 'bad-request' };
  }
}
