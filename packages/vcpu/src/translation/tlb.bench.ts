import { createRam, type Pfn, pfn, type VirtualAddress, type VirtualFrame } from '@heki/physical-memory';
import { AccessBits, INTEL_VT_RP, type PagingRegisters, pagingRegisters, translate } from '@heki/x86';
import { compare } from '@heki-internal/bench';
import { Controls, defaultControls } from '../controls.ts';
import { createVcpu } from '../create-vcpu.ts';
import { checkedFrame, checkOperandSize } from '../instructions/arguments.ts';
import { Trap } from '../instructions/attempt.ts';
import { setOperand } from '../instructions/operand.ts';
import type { Outcome } from '../outcome.ts';
import { RegisterFile } from '../registers/register-file.ts';
import { kernelRegisters, PTE, Tables } from '../testing/machine.ts';
import { Mmu } from './mmu.ts';

/** Pages of the working set: they fit into the 4-KiB part of the TLB. */
const PAGES = 2048;
const ROUNDS = 100;
const START = 0xffff_8880_0000_0000n;
const START_FRAME = Number(START >> 12n);

const memory = createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(65_536) }] });
const tables = new Tables(memory, 16);
const LARGE = 0xffff_8900_0000_0000n;
const OWN = 0xffff_8a00_0000_0000n;
const OWN_PAGE = PTE.P | PTE.W | PTE.A | PTE.D;
const GLOBAL_PAGE = OWN_PAGE | PTE.G;
for (let i = 0; i < PAGES; i++) {
  const frame = 4096 + ((i * 17) % PAGES);
  tables.map(START + BigInt(i * 4096), frame, GLOBAL_PAGE);
  tables.map(OWN + BigInt(i * 4096), frame, OWN_PAGE);
}
for (let i = 0; i < 64; i++) tables.map(LARGE + (BigInt(i) << 21n), i * 512, GLOBAL_PAGE, 0, 2);
const LARGE_FRAME = Number(LARGE >> 12n);
const OWN_FRAME = Number(OWN >> 12n);

const registers = new RegisterFile(
  () => {},
  () => {},
);
Object.assign(registers, kernelRegisters(tables.root));
const mmu = new Mmu({
  memory,
  processor: INTEL_VT_RP,
  registers,
  controls: new Controls(defaultControls(), () => {}),
  trap: new Trap(),
  onFlush: undefined,
});

function hits(start: number, step: number, access: number): () => number {
  return () => {
    let sum = 0;
    for (let round = 0; round < ROUNDS; round++) {
      for (let i = 0; i < PAGES; i++) {
        sum += mmu.translate((start + i * step) as VirtualFrame, 8, access);
      }
    }
    return sum;
  };
}

const readable: PagingRegisters = pagingRegisters({
  cr3: registers.cr3,
  cr4: registers.cr4,
  cr0: registers.cr0,
});
const work = { count: PAGES * ROUNDS, of: 'hits' };

await compare({
  title: `TLB, ${PAGES} pages`,
  contenders: [
    { name: 'global 4-KiB pages, read', work, run: hits(START_FRAME, 1, AccessBits.READ) },
    { name: 'global 4-KiB pages, write', work, run: hits(START_FRAME, 1, AccessBits.WRITE) },
    { name: 'global 2-MiB pages, read', work, run: hits(LARGE_FRAME, 16, AccessBits.READ) },
    { name: '4-KiB pages of one PCID, read', work, run: hits(OWN_FRAME, 1, AccessBits.READ) },
    {
      name: 'no TLB: the readable walk',
      work: { count: PAGES, of: 'walks' },
      run: () => {
        let sum = 0;
        for (let i = 0; i < PAGES; i++) {
          const va = (START + BigInt(i * 4096)) as VirtualAddress;
          const { outcome } = translate(readable, memory, va, { kind: 'read', mode: 'supervisor' });
          if (outcome.kind === 'mapped') sum += outcome.gpa;
        }
        return sum;
      },
    },
  ],
});

const setup = { id: 0, memory, processor: INTEL_VT_RP, registers: kernelRegisters(tables.root) };
const cpu = createVcpu(setup);
const listening = createVcpu({ ...setup, onEvent: () => {} });
const addresses = Array.from({ length: PAGES }, (_, i) => (START + BigInt(i * 4096)) as VirtualAddress);
const instructions = { count: PAGES, of: 'instructions' };

/** What a store does, without a place where anybody could listen: nothing but the work. */
function storeDeaf(va: VirtualAddress, value: bigint): Outcome {
  const frame = checkedFrame(va);
  checkOperandSize(8);
  const host = mmu.translate(frame, Number(va & 0xfffn), AccessBits.WRITE);
  const page = host >= 0 ? memory.writablePage(host as Pfn) : undefined;
  if (page === undefined) return { kind: 'stopped', why: 'no memory' };
  setOperand(page, Number(va & 0xfffn), 8, value);
  registers.rip = BigInt.asUintN(64, registers.rip + 3n) as VirtualAddress;
  return { kind: 'done', value: undefined };
}

function each(store: (va: VirtualAddress) => unknown): () => void {
  return () => {
    for (const address of addresses) store(address);
  };
}

await compare({
  title: `what a listener costs: ${PAGES} stores`,
  contenders: [
    { name: 'no place to listen', work: instructions, run: each((va) => storeDeaf(va, 1n)) },
    { name: 'no listener', work: instructions, run: each((va) => cpu.store(va, 8, 1n)) },
    {
      name: 'a listener that does nothing',
      work: instructions,
      run: each((va) => listening.store(va, 8, 1n)),
    },
  ],
});
