import { decodePageList, encodePageList, type PageListFaultCode } from '@heki/hypercall/kvm';
import { createKvm } from '@heki/kvm';
import {
  createFrameAllocator,
  createRam,
  type Gfn,
  type Pfn,
  type VirtualAddress,
} from '@heki/physical-memory';
import { CR0, CR4, EFER } from '@heki/x86';
import type { Values } from './values.ts';

const PAGES = [
  { name: 'a', frame: 1, entries: ['a0', 'a1'] },
  { name: 'b', frame: 2, entries: ['b0'] },
] as const;
/** The frames of pages of zeroes, which go up to the last frame that KVM's memory can have. */
const ZEROES = 2 ** 34 - 256;
const ZEROES_END = 2 ** 34;

const fieldsOf = (entry: string): string[] =>
  ['pa', 'epa', 'permissions'].map((field) => `${entry}-${field}`);

/** What is wrong with an address, as the formula numbers it. */
const ADDRESS_FAULTS: Partial<Record<PageListFaultCode, number>> = {
  'bad-page-address': 1,
  'page-absent': 2,
  cycle: 3,
};

/** The guest's memory with the list of a model, in a host's frames: from 0 on its pages, from 2 on the zeroes. */
function memoryOf(values: Values) {
  const ram = createRam<Pfn>({ ranges: [{ start: 0 as Pfn, end: 0x1000 as Pfn }] });
  for (const [index, { name, entries }] of PAGES.entries()) {
    const fields = [`next-${name}`, `count-${name}`, ...entries.flatMap(fieldsOf)].map((field) =>
      values.get(field),
    );
    const page = new BigUint64Array(512);
    page.set([0n, ...fields.map((value) => value ?? 0n)]);
    ram.writablePage(index as Pfn)?.set(new Uint32Array(page.buffer));
  }
  return ram;
}

/** decodePageList()'s answer to the list of a model, as the formula numbers it. */
export function decoderSays(values: Values): number {
  const ram = memoryOf(values);
  const page = (frame: Gfn): Uint32Array | undefined => {
    if (frame >= ZEROES && frame < ZEROES_END) return ram.writablePage((frame - ZEROES + 2) as Pfn);
    return frame === 0 || frame > 2 ? undefined : ram.writablePage((frame - 1) as Pfn);
  };
  const result = decodePageList({ memory: { page, writablePage: page }, list: values.get('list') ?? 0n });
  if (result.ok) return 0;
  const { code, page: at, offset } = result.fault;
  const address = ADDRESS_FAULTS[code];
  return address === undefined ? 1000 * (at + 1) + offset : 10 * (at + 1) + address;
}

/** What KVM, hardened, answers to hypercall 14 with the list of a model. */
export function kvmSays(values: Values): number {
  const memory = memoryOf(values);
  const frames = createFrameAllocator<Pfn>({ ranges: [{ start: 0x200 as Pfn, end: 0x1000 as Pfn }] });
  const vm = createKvm().createVirtualMachine({ host: { memory, frames } });
  vm.addMemory({ start: 1 as Gfn, frames: 2, backing: 0 as Pfn });
  vm.addMemory({ start: ZEROES as Gfn, frames: 256, backing: 2 as Pfn });
  const cpu = vm.createVcpu({
    registers: {
      cr0: CR0.PG | CR0.WP | CR0.PE,
      cr4: CR4.PAE,
      efer: EFER.LMA | EFER.LME,
      codeSegment64: true,
      rax: 14n,
      rbx: values.get('list') ?? 0n,
    },
  });
  cpu.vmcall();
  return Number(BigInt.asIntN(64, cpu.registers.rax));
}

/** The words of one entry of a model: `pa`, `epa` and permissions. */
export function entryOf(values: Values, entry: string): readonly bigint[] {
  return fieldsOf(entry).map((field) => values.get(field) ?? 0n);
}

/** The header's `npages` and the entries that encodePageList() writes for what a model's entries ask for: as many u64 as it wrote. */
export function encoded(values: Values, entries: readonly string[]): readonly bigint[] {
  const page = new Uint32Array(1024);
  const ranges = entries.map((entry) => {
    const [pa = 0n, epa = 0n, permissions = 0n] = entryOf(values, entry);
    return {
      start: Number(pa >> 12n) as Gfn,
      end: Number(epa >> 12n) as Gfn,
      permissions: Number(permissions),
    };
  });
  encodePageList({
    memory: { page: () => page, writablePage: () => page },
    frames: [1 as Gfn],
    ranges,
    directMap: 0n as VirtualAddress,
  });
  return [...new BigUint64Array(page.buffer).subarray(2, 3 + 3 * entries.length)];
}
