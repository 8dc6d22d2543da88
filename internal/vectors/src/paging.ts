import { type Gfn, type PhysicalMemory, type VirtualAddress, writeU64 } from '@heki/physical-memory';
import {
  type Access,
  applyUpdates,
  type CpuProfile,
  CR0,
  CR4,
  EFER,
  INTEL_SKYLAKE,
  type PagingRegisters,
  pagingRegisters,
  translate,
} from '@heki/x86';
import { ResultCounter, type VectorKind } from './kind.ts';
import { readLines } from './read.ts';

/** The processor of these vectors: MAXPHYADDR 40, 1-GiB pages. */
const PROFILE: CpuProfile = { ...INTEL_SKYLAKE, name: 'access-test', maxPhysicalAddressBits: 40 };
const VA = 0xffff_9234_0000_0000n as VirtualAddress;
const P = 1n;
const W = 2n;
const U = 4n;
const PS = 0x80n;
const READ: Access = { kind: 'read', mode: 'supervisor' };

/** Frames of the four tables, root first, and of the page. The 2-MiB page is at 0, where the 4-KiB page lies too. */
const TABLES = [0x10, 0x11, 0x12, 0x13] as const;
const PAGE_ADDRESS = 0n;

/** One line: `flags fault error pte_in pte_out pde_in pde_out pde_ignore names...`. */
interface PagingCase {
  readonly fault: boolean;
  readonly error: number;
  readonly pteIn: bigint;
  readonly pteOut: bigint;
  readonly pdeIn: bigint;
  readonly pdeOut: bigint;
  readonly pdeIgnore: bigint;
  readonly names: ReadonlySet<string>;
}

/** Expectations of the x86 access test: permissions of one PDE and PTE. */
export const paging: VectorKind = {
  matches: (path) => /(^|\/)paging\/[^/]*\.txt(\.gz)?$/.test(path),
  run(path) {
    const result = new ResultCounter();
    // Each case writes anew all that one before it can have written.
    const memory = createMemory();
    for (const line of readLines(path)) {
      if (line === '' || line.startsWith('#')) continue;
      const expected = parse(line);
      const got = run(expected, memory);
      const wanted = describe(
        expected.fault,
        expected.error,
        expected.pteOut,
        expected.pdeOut & ~expected.pdeIgnore,
      );
      result.count(got === wanted, () => `${line}\n  expected ${wanted}\n  got      ${got}`);
    }
    return result;
  },
};

function parse(line: string): PagingCase {
  const [, fault, error, pteIn, pteOut, pdeIn, pdeOut, pdeIgnore, ...names] = line.trim().split(/\s+/);
  const hex = (text: string | undefined) => BigInt(`0x${text}`);
  return {
    fault: fault === '1',
    error: Number(hex(error)),
    pteIn: hex(pteIn),
    pteOut: hex(pteOut),
    pdeIn: hex(pdeIn),
    pdeOut: hex(pdeOut),
    pdeIgnore: hex(pdeIgnore),
    names: new Set(names),
  };
}

function run({ pteIn, pdeIn, pdeIgnore, names }: PagingCase, memory: PhysicalMemory<Gfn>): string {
  const address = (frame: number) => BigInt(frame) << 12n;
  const [pml4, pdpt, pd, pt] = TABLES;
  const put = (table: number, shift: bigint, value: bigint) => {
    const at = table * 4096 + Number((VA >> shift) & 511n) * 8;
    writeU64<Gfn>(memory, at as never, { low: Number(value & 0xffff_ffffn), high: Number(value >> 32n) });
    return () => {
      const page = memory.page(table as Gfn);
      const word = (at % 4096) / 4;
      return (BigInt(page?.[word + 1] ?? 0) << 32n) | BigInt(page?.[word] ?? 0);
    };
  };
  const large = (pdeIn & PS) !== 0n;
  const pdeFrame = large ? PAGE_ADDRESS : address(pt);
  put(pml4, 39n, address(pdpt) | U | W | P);
  put(pdpt, 30n, address(pd) | U | (names.has('pdpte.ro') ? 0n : W) | P);
  const readPde = put(pd, 21n, pdeIn | pdeFrame);
  const readPte = put(pt, 12n, pteIn | PAGE_ADDRESS);

  const registers = registersOf(names, address(pml4));
  if (names.has('twice')) applyUpdates(memory, translate(registers, memory, VA, READ, PROFILE).updates);
  const kind = names.has('fetch') ? 'fetch' : names.has('write') ? 'write' : 'read';
  const mode = names.has('user') ? 'user' : 'supervisor';
  const { outcome, updates } = translate(registers, memory, VA, { kind, mode }, PROFILE);
  applyUpdates(memory, updates);
  const fault = outcome.kind === 'page-fault';
  if (!fault && outcome.kind !== 'mapped') return outcome.kind;
  const pde = (readPde() ^ pdeFrame) & ~pdeIgnore;
  return describe(fault, fault ? outcome.errorCode : 0, readPte() ^ PAGE_ADDRESS, pde);
}

function registersOf(names: ReadonlySet<string>, cr3: bigint): PagingRegisters {
  const keys = (names.has('pkru.ad') ? 4 : 0) | (names.has('pkru.wd') ? 8 : 0);
  return pagingRegisters({
    cr0: CR0.PG | CR0.PE | (names.has('cr0.wp') ? CR0.WP : 0n),
    cr3,
    cr4: CR4.PAE | (names.has('cr4.smep') ? CR4.SMEP : 0n) | (names.has('cr4.pke') ? CR4.PKE : 0n),
    efer: EFER.LMA | EFER.LME | (names.has('efer.nx') ? EFER.NXE : 0n),
    pkru: keys,
  });
}

/** The four tables, and nothing else. */
function createMemory(): PhysicalMemory<Gfn> {
  const pages = new Map<number, Uint32Array>(TABLES.map((frame) => [frame, new Uint32Array(1024)]));
  return { page: (frame) => pages.get(frame), writablePage: (frame) => pages.get(frame) };
}

function describe(fault: boolean, error: number, pte: bigint, pde: bigint): string {
  return `${fault ? `#PF ${error.toString(16)}` : 'no fault'}, pte ${pte.toString(16)}, pde ${pde.toString(16)}`;
}
