import {
  KvmError,
  KvmHypercall,
  MEM_ATTR_EXEC,
  MEM_ATTR_IMMUTABLE,
  MEM_ATTR_PROT,
  MEM_ATTR_READ,
  MEM_ATTR_WRITE,
  PAGE_LIST_ENTRY_SIZE,
  PAGE_LIST_HEADER_SIZE,
  PAGE_LIST_MAX_ENTRIES,
} from '@heki/hypercall/kvm';
import { addressOf, type Gfn, PAGE_SIZE, type VirtualAddress } from '@heki/physical-memory';
import type { Kunit, KunitCase } from '../framework/suite.ts';
import type { TestThread } from '../thread/test-thread.ts';
import { expectResult, needHypercalls } from './hypercall.ts';
import { expectRights } from './rights.ts';

/** An entry of a list, not necessarily a sensible one. */
interface Entry {
  readonly pa: bigint;
  readonly epa: bigint;
  readonly permissions: bigint;
}

const READ_WRITE = BigInt(MEM_ATTR_READ | MEM_ATTR_WRITE);
const READ = BigInt(MEM_ATTR_READ);
const PAGE = BigInt(PAGE_SIZE);
/** An address that no memory has. */
const NOWHERE = 2n ** 45n;

/** A list page in the making: the kernel's own stores, through the direct map. */
interface ListPage {
  readonly address: bigint;
  fill(entries: readonly Entry[], header?: { readonly nextPa?: bigint; readonly npages?: bigint }): void;
}

/** What the cases of hypercall 14 work with. */
interface Bench {
  readonly list: ListPage;
  /** An ordinary page of the kernel, and the entry that asks for what it has. */
  readonly frame: Gfn;
  readonly good: Entry;
  protect(address: bigint): number;
  /** Sends `entries` as a list of one page. */
  send(...entries: Entry[]): number;
}

function createBench(test: Kunit, thread: TestThread): Bench {
  needHypercalls(test, thread);
  const frame = thread.must('a page', thread.kernel.allocatePages());
  const listFrame = thread.must('a page for the list', thread.kernel.allocatePages());
  const at = (offset: number): VirtualAddress =>
    (thread.direct(listFrame) + BigInt(offset)) as VirtualAddress;
  const list: ListPage = {
    address: BigInt(addressOf(listFrame)),
    fill(entries, { nextPa = 0n, npages = BigInt(entries.length) } = {}) {
      for (const [word, value] of [0n, nextPa, npages].entries()) thread.writeLong(at(8 * word), value);
      for (const [index, { pa, epa, permissions }] of entries.entries()) {
        const start = PAGE_LIST_HEADER_SIZE + PAGE_LIST_ENTRY_SIZE * index;
        for (const [word, value] of [pa, epa, permissions].entries())
          thread.writeLong(at(start + 8 * word), value);
      }
    },
  };
  const protect = (address: bigint): number => thread.hypercall(KvmHypercall.PROTECT_MEMORY, address);
  const pa = BigInt(addressOf(frame));
  return {
    list,
    frame,
    good: { pa, epa: pa + PAGE, permissions: READ_WRITE },
    protect,
    send(...entries) {
      list.fill(entries);
      return protect(list.address);
    },
  };
}

/** A case that changes one thing of a good entry, and expects the list to be refused as invalid. */
function refused(
  name: string,
  wrong: (good: Entry) => readonly (readonly [what: string, change: Partial<Entry>])[],
): KunitCase<TestThread> {
  return {
    name,
    run(test, thread) {
      const { good, send } = createBench(test, thread);
      for (const [what, change] of wrong(good)) {
        expectResult(test, what, send({ ...good, ...change }), -KvmError.EINVAL);
      }
    },
  };
}

/** Hypercall 14. */
export const PROTECT_MEMORY_CASES: readonly KunitCase<TestThread>[] = [
  {
    name: 'protect_good_lists',
    run(test, thread) {
      const { list, good, protect, send } = createBench(test, thread);
      expectResult(test, 'no list', protect(0n), 0);
      expectResult(test, 'a list of no entries', send(), 0);
      expectResult(test, 'a list of one entry', send(good), 0);
      list.fill(Array.from({ length: PAGE_LIST_MAX_ENTRIES }, () => good));
      expectResult(test, `a list of ${PAGE_LIST_MAX_ENTRIES} entries`, protect(list.address), 0);
    },
  },
  {
    name: 'protect_list_address',
    run(test, thread) {
      const { list, good, protect } = createBench(test, thread);
      list.fill([good]);
      expectResult(test, 'a list that is not page aligned', protect(list.address + 8n), -KvmError.EINVAL);
      expectResult(test, 'a list where no memory is', protect(NOWHERE), -KvmError.EFAULT);
      list.fill([good], { nextPa: NOWHERE });
      expectResult(test, 'a next page where no memory is', protect(list.address), -KvmError.EFAULT);
    },
  },
  {
    name: 'protect_entry_count',
    run(test, thread) {
      const { list, good, protect } = createBench(test, thread);
      for (const npages of [BigInt(PAGE_LIST_MAX_ENTRIES) + 1n, 2n ** 32n, 2n ** 64n - 1n]) {
        list.fill([good], { npages });
        expectResult(test, `a list of ${npages} entries`, protect(list.address), -KvmError.EINVAL);
      }
    },
  },
  {
    name: 'protect_list_loop',
    run(test, thread) {
      const { list, good, protect } = createBench(test, thread);
      list.fill([good], { nextPa: list.address });
      expectResult(test, 'a list that leads back to itself', protect(list.address), -KvmError.EINVAL);
    },
  },
  refused('protect_range', ({ pa, epa }) => [
    ['a start that is not page aligned', { pa: pa + 8n }],
    ['an end that is not page aligned', { epa: epa + 8n }],
    ['an empty range', { epa: pa }],
    ['a range that ends before it begins', { epa: pa - PAGE }],
  ]),
  refused('protect_outside_memory', () => [
    ['a range where no memory is', { pa: NOWHERE, epa: NOWHERE + PAGE }],
    ['a range to the end of the address space', { epa: 2n ** 52n }],
  ]),
  refused('protect_permissions', () => [
    ['no permissions', { permissions: 0n }],
    ['an unknown permission bit', { permissions: READ | BigInt(MEM_ATTR_PROT + 1) }],
    ['bits above the lowest 32', { permissions: READ | (1n << 32n) }],
  ]),
  refused('protect_without_read', () => [
    ['writing without reading', { permissions: BigInt(MEM_ATTR_WRITE) }],
    ['execution without reading', { permissions: BigInt(MEM_ATTR_EXEC) }],
    ['nothing but immutable', { permissions: BigInt(MEM_ATTR_IMMUTABLE) }],
  ]),
  {
    name: 'protect_all_or_nothing',
    run(test, thread) {
      const { frame, good, send } = createBench(test, thread);
      const result = send({ ...good, permissions: READ }, { ...good, permissions: 0n });
      expectResult(test, 'a list with a bad second entry', result, -KvmError.EINVAL);
      expectRights(test, thread, 'the page of the first entry', thread.direct(frame), 'rw-');
    },
  },
  {
    name: 'protect_fewer_rights',
    run(test, thread) {
      const { frame, good, send } = createBench(test, thread);
      const page = thread.direct(frame);
      expectResult(test, 'read and write', send(good), 0);
      expectRights(test, thread, 'the page', page, 'rw-');
      expectResult(test, 'read only', send({ ...good, permissions: READ }), 0);
      expectRights(test, thread, 'the page', page, 'r--');
      expectResult(test, 'read and write again', send(good), 0);
      expectRights(test, thread, 'the page', page, 'rw-');
    },
  },
  {
    name: 'protect_immutable',
    run(test, thread) {
      const { good, send } = createBench(test, thread);
      const text = BigInt(addressOf(thread.frameOf(thread.kernel.address('_text'))));
      const entry = { pa: text, epa: text + PAGE };
      for (const permissions of [READ_WRITE, READ, READ | BigInt(MEM_ATTR_EXEC)]) {
        const what = `permissions ${permissions} for a page of the kernel's text`;
        expectResult(test, what, send({ ...entry, permissions }), -KvmError.EPERM);
      }
      const locked = send({ ...good, permissions: READ_WRITE | BigInt(MEM_ATTR_IMMUTABLE) });
      expectResult(test, 'making a page immutable', locked, 0);
      expectResult(test, 'a request for it', send(good), -KvmError.EPERM);
    },
  },
];
