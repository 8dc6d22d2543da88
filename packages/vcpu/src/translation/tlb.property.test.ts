import type { Pfn, PhysicalMemory, VirtualAddress } from '@heki/physical-memory';
import { CR0, CR3, CR4, INTEL_DIAMOND_RAPIDS, RFLAGS } from '@heki/x86';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createVcpu } from '../create-vcpu.ts';
import { kernelRegisters, PTE, ram, Tables, va, XD } from '../testing/machine.ts';
import { ListedSecondLevel, type Rights } from '../testing/second-level.ts';
import { TlbModel, words } from '../testing/tlb-model.ts';
import type { Vcpu } from '../vcpu.ts';

const BASE = 0xffff_8880_0000_0000n;
/** Three pages of one table, a page of a 2-MiB region of its own, and one more in that region. */
const PAGES = [BASE, BASE + 0x1000n, BASE + 0x2000n, BASE + 0x20_0000n, BASE + 0x20_5000n].map(va);
/** Data frames 512 to 1535: what a 4-KiB leaf may map, and a 2-MiB leaf has from its start. */
const TARGETS = [512, 513, 514, 517];
const CPUS = 2;

type Act =
  | {
      readonly act: 'access';
      readonly cpu: number;
      readonly page: number;
      readonly kinds: readonly ('read' | 'write' | 'fetch')[];
    }
  | {
      readonly act: 'leaf';
      readonly page: number;
      readonly bits: number;
      readonly high: number;
      readonly target: number;
    }
  | { readonly act: 'large'; readonly bits: number; readonly large: boolean }
  | { readonly act: 'upper'; readonly bits: number }
  | { readonly act: 'second'; readonly target: number; readonly rights: number; readonly shift: number }
  | { readonly act: 'registers'; readonly cpu: number; readonly flip: number }
  | {
      readonly act: 'flush';
      readonly cpu: number;
      readonly how: 'invlpg' | 'cr3' | 'invpcid' | 'pge' | 'invept' | 'invvpid';
      readonly page: number;
      readonly pcid: number;
    };

const nat = (max: number): fc.Arbitrary<number> => fc.nat({ max });
const cpu = nat(CPUS - 1);
const page = fc.constantFrom(0, 0, 0, 1, 2, 3, 3, 4);
const target = nat(TARGETS.length - 1);
const acts: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 14,
    arbitrary: fc.record({
      act: fc.constant('access'),
      cpu,
      page,
      kinds: fc.array(fc.constantFrom('read', 'write', 'fetch'), { minLength: 1, maxLength: 4 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ act: fc.constant('leaf'), page, bits: nat(15), high: nat(3), target }),
  },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('large'), bits: nat(15), large: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('upper'), bits: nat(3) }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant('second'), target, rights: nat(15), shift: nat(1) }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant('registers'), cpu, flip: nat(7) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      act: fc.constant('flush'),
      cpu,
      how: fc.constantFrom('invlpg', 'cr3', 'invpcid', 'pge', 'invept', 'invvpid'),
      page,
      pcid: nat(1),
    }),
  },
) as fc.Arbitrary<Act>;

/** W, U and G of a leaf from three random bits, P from a fourth and more: it is usual. */
function leafBits(bits: number): number {
  return (
    ((bits & 1) !== 0 ? PTE.W : 0) |
    ((bits & 2) !== 0 ? PTE.U : 0) |
    ((bits & 4) !== 0 ? PTE.G : 0) |
    (bits >= 14 ? 0 : PTE.P)
  );
}

/** Both virtual CPUs, the model beside them, and what may happen to them. */
class World {
  readonly memory = ram(2048);
  readonly tables = new Tables(this.memory, 16);
  readonly secondLevel = new ListedSecondLevel();
  readonly listed = new Map<number, { frame: number; rights: Rights }>();
  readonly model = new TlbModel(INTEL_DIAMOND_RAPIDS);
  readonly cpus: readonly Vcpu[];

  constructor() {
    this.secondLevel.map(0, 128);
    for (const address of PAGES) this.tables.map(address, 512, PTE.P | PTE.W);
    this.tables.map(PAGES[3] ?? 0n, 512, PTE.P | PTE.W, 0, 2);
    for (let gfn = 512; gfn < 1024; gfn++)
      this.#back(gfn, { read: true, write: true, xs: true, xu: true }, 0);
    for (const [frame, mark] of [0, 1].flatMap((s) =>
      TARGETS.map((t) => [t + s * 512, t + s * 512] as const),
    )) {
      const data = this.memory.writablePage(frame as Pfn);
      if (data !== undefined) data[0] = mark;
    }
    this.cpus = Array.from({ length: CPUS }, (_, id) =>
      createVcpu({
        id,
        memory: this.memory,
        processor: INTEL_DIAMOND_RAPIDS,
        secondLevel: this.secondLevel,
        registers: kernelRegisters(this.tables.root, { cr4: CR4.PAE | CR4.PGE | CR4.PCIDE }),
        onExit: () => ({ kind: 'inject', exception: { vector: 13, errorCode: 0 } }),
      }),
    );
    this.record();
  }

  get tableFrames(): number[] {
    return [16, 17, 18, 19, 20];
  }

  record(): void {
    this.model.record(this.memory, this.tableFrames, this.listed);
  }

  #back(gfn: number, rights: Rights, shift: number): void {
    this.secondLevel.map(gfn, 1, rights, shift * 512);
    this.listed.set(gfn, { frame: gfn + shift * 512, rights });
  }

  take(step: Act): void {
    switch (step.act) {
      case 'access':
        for (const kind of step.kinds) this.#access(step.cpu, PAGES[step.page] ?? va(0n), kind);
        return;
      case 'leaf': {
        const address = PAGES[step.page] ?? 0n;
        if (step.page >= 3) return;
        const high = ((step.high & 1) !== 0 ? XD : 0) | ((step.high & 2) !== 0 ? 1 << 27 : 0);
        this.tables.map(address, TARGETS[step.target] ?? 0, leafBits(step.bits), high >>> 0);
        break;
      }
      case 'large': {
        // The 2-MiB region, as one leaf or not there.
        const { page: table, word } = this.tables.entry(PAGES[3] ?? 0n, 2);
        table[word] = step.large ? 512 * 4096 + (leafBits(step.bits) | PTE.PS) : 0;
        break;
      }
      case 'upper':
        this.tables.change(
          BASE,
          PTE.W | PTE.U,
          ((step.bits & 1) !== 0 ? PTE.W : 0) | ((step.bits & 2) !== 0 ? PTE.U : 0),
          2,
        );
        break;
      case 'second': {
        const { rights } = step;
        const has = (bit: number): boolean => (rights & bit) !== 0;
        this.#back(
          TARGETS[step.target] ?? 0,
          { read: has(1), write: has(1) && has(2), xs: has(4), xu: has(8) },
          step.shift,
        );
        break;
      }
      case 'registers':
        this.#flip(this.cpus[step.cpu], step.flip);
        return;
      case 'flush':
        this.#flush(step.cpu, step.how, PAGES[step.page] ?? va(0n), step.pcid);
        return;
    }
    this.record();
  }

  #flip(vcpu: Vcpu | undefined, which: number): void {
    if (vcpu === undefined) return;
    const { registers } = vcpu;
    const { cpl } = registers;
    registers.cpl = 0;
    if (which === 0) vcpu.movToCr(0, registers.cr0 ^ CR0.WP);
    else if (which === 1) vcpu.movToCr(4, registers.cr4 ^ CR4.SMEP);
    else if (which === 2) vcpu.movToCr(4, registers.cr4 ^ CR4.SMAP);
    else if (which === 3) vcpu.movToCr(4, registers.cr4 ^ (CR4.PKE | CR4.PKS));
    else if (which === 4) registers.rflags ^= RFLAGS.AC;
    else if (which === 5)
      registers.pkru = registers.pkrs = registers.pkru === 0 ? 8 : registers.pkru === 8 ? 4 : 0;
    else if (which === 7) vcpu.movToCr(4, registers.cr4 ^ CR4.LASS);
    registers.cpl = which === 6 ? (cpl === 0 ? 3 : 0) : cpl;
  }

  #flush(
    id: number,
    how: Extract<Act, { act: 'flush' }>['how'],
    address: VirtualAddress,
    pcid: number,
  ): void {
    const vcpu = this.cpus[id];
    if (vcpu === undefined) return;
    const { model } = this;
    const { registers } = vcpu;
    const { cpl } = registers;
    const current = Number(registers.cr3 & CR3.PCID);
    registers.cpl = 0;
    // The last two pages are always of one large page, of which INVLPG drops all pieces.
    const whole = PAGES.indexOf(address) < 3 ? [address] : PAGES.slice(3);
    if (how === 'invlpg') {
      vcpu.invlpg(address);
      for (const each of whole) model.flushPage(id, each, current, true);
    } else if (how === 'cr3') {
      vcpu.movToCr(3, (registers.cr3 & ~CR3.PCID) | BigInt(pcid));
      for (const each of PAGES) model.flushPage(id, each, pcid, false);
    } else if (how === 'invpcid') {
      vcpu.invpcid(0, pcid, address);
      for (const each of whole) model.flushPage(id, each, pcid, false);
    } else if (how === 'pge') {
      vcpu.movToCr(4, registers.cr4 ^ CR4.PGE);
      vcpu.movToCr(4, registers.cr4 ^ CR4.PGE);
    } else if (how === 'invept') {
      vcpu.invept();
      model.invept(id);
    } else {
      vcpu.invvpid({ type: 'all' });
    }
    if (how === 'pge' || how === 'invept' || how === 'invvpid') {
      for (const each of PAGES) for (const one of [0, 1]) model.flushPage(id, each, one, true);
    }
    registers.cpl = cpl;
  }

  #access(id: number, address: VirtualAddress, kind: 'read' | 'write' | 'fetch'): void {
    const vcpu = this.cpus[id];
    if (vcpu === undefined) return;
    const pcid = Number(vcpu.registers.cr3 & CR3.PCID);
    const justified = this.model.justified(id, address, kind, vcpu.registers, pcid);
    const before = this.tableFrames.map((frame) => Uint32Array.from(words(this.memory, frame)));
    const outcome =
      kind === 'read'
        ? vcpu.load(address, 4)
        : kind === 'fetch'
          ? vcpu.fetch(address, 4)
          : vcpu.store(va(address + 8n), 4, 7n);
    if (outcome.kind === 'done') {
      expect(justified.size, `${kind} of ${address.toString(16)} on ${id} is justified`).toBeGreaterThan(0);
      if (kind === 'read') expect([...justified]).toContain(Number(outcome.value));
      else if (kind === 'write') this.#findStore(justified);
    } else {
      expect(outcome).toMatchObject({ kind: 'exception' });
    }
    const flags = PTE.A | PTE.D;
    let changed = false;
    for (const [i, frame] of this.tableFrames.entries()) {
      const now = words(this.memory, frame);
      for (let word = 0; word < 1024; word++) {
        const [old, value] = [before[i]?.[word] ?? 0, now[word] ?? 0];
        if (value === old) continue;
        changed = true;
        // Only accessed and dirty flags change, and they are only set.
        expect([(value & ~flags) >>> 0, old & ~value]).toEqual([(old & ~flags) >>> 0, 0]);
        expect(word % 2).toBe(0);
      }
    }
    if (changed) this.record();
  }

  /** The one frame that a store of 7 at offset 8 hit is a justified one. */
  #findStore(justified: Set<number>): void {
    for (const frame of [0, 1].flatMap((shift) => TARGETS.map((each) => each + shift * 512))) {
      const data = (this.memory as PhysicalMemory<Pfn>).writablePage(frame as Pfn);
      if (data?.[2] !== 7) continue;
      data[2] = 0;
      expect([...justified]).toContain(frame);
      return;
    }
    expect.fail('the store hit no frame that is mapped');
  }
}

test('over several virtual CPUs, the TLB allows only what a walk since the last flush would have allowed, and flags only grow', () => {
  fc.assert(
    fc.property(fc.array(acts, { minLength: 20, maxLength: 80 }), (steps) => {
      const world = new World();
      for (const step of steps) world.take(step);
    }),
    { numRuns: 250 },
  );
}, 60_000);

test('page tables of any bytes, at any root, give every access an outcome after a bounded number of page look-ups', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 64, maxLength: 512 }),
      nat(7),
      fc.array(fc.tuple(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), nat(3)), {
        minLength: 1,
        maxLength: 20,
      }),
      fc.boolean(),
      (bytes, root, accesses, la57) => {
        const memory = ram(8);
        // Eight pages that repeat the bytes, with frame numbers cut so that entries point back among them.
        for (let frame = 0; frame < 8; frame++) {
          const words32 = memory.writablePage(frame as Pfn);
          for (let i = 0; words32 !== undefined && i < 1024; i++) {
            const byte = bytes[(i + frame * 37) % bytes.length] ?? 0;
            words32[i] =
              i % 2 === 0 ? ((byte & 7) << 12) | (byte & 0xe7) | ((byte >> 5) & 1) : byte === 255 ? XD : 0;
          }
        }
        let lookUps = 0;
        const counted: PhysicalMemory<Pfn> = {
          page: (frame) => {
            lookUps++;
            return memory.page(frame);
          },
          writablePage: (frame) => {
            lookUps++;
            return memory.writablePage(frame);
          },
        };
        const vcpu = createVcpu({
          id: 0,
          memory: counted,
          processor: INTEL_DIAMOND_RAPIDS,
          registers: kernelRegisters(root, { cr4: CR4.PAE | CR4.PGE | (la57 ? CR4.LA57 : 0n) }),
        });
        for (const [address, kind] of accesses) {
          lookUps = 0;
          const at = va(address);
          const outcome =
            kind === 0
              ? vcpu.load(at, 8)
              : kind === 1
                ? vcpu.store(at, 8, address)
                : kind === 2
                  ? vcpu.fetch(at, 15)
                  : vcpu.readModifyWrite(at, 8, (old) => ~old);
          expect(['done', 'exception', 'absent-table']).toContain(outcome.kind);
          // Twice (the quick try and the full one) two pages of five levels, each entry read and perhaps written, and 15 bytes.
          expect(lookUps).toBeLessThanOrEqual(2 * 2 * 10 + 15);
        }
      },
    ),
    { numRuns: 500 },
  );
});
