import { type Gfn, gfn, type PageView, type PhysicalMemory, type VirtualFrame } from '@heki/physical-memory';
import { REFUSED, type SecondLevel } from '@heki/second-level';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createAddressSpace, entryBits } from './address-space/address-space.ts';
import { describeEntry } from './entries/entry.ts';
import { mappings } from './mappings/mappings.ts';
import { HARDWARE_PRESENCE, LINUX_PRESENCE } from './mappings/presence-policy.ts';
import { walkMappings } from './mappings/walk-mappings.ts';
import { CR4 } from './registers/control-registers.ts';
import { AMD_ZEN4, INTEL_VT_RP } from './registers/cpu-profiles.ts';
import { pagingRegisters } from './registers/registers.ts';
import { at } from './testing/table-picture.ts';
import { AccessBits, type AccessKind, type AccessMode, accessBits } from './translate/access.ts';
import { createPageWalker } from './translate/create-page-walker.ts';
import { translate } from './translate/translate.ts';

/**
 * Memory in which every one of the 2^40 frames exists: a few pages of random bytes, over and over. `thinned` keeps
 * that part of the entries, so that walks find holes, too; `sane` clears what would be reserved.
 */
class NoiseMemory implements PhysicalMemory<Gfn> {
  reads = 0;
  readonly #pages: readonly Uint32Array[];

  constructor(seed: number, kept: number, sane: boolean) {
    let state = seed | 1;
    const random = () => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return state >>> 0;
    };
    this.#pages = Array.from({ length: 8 }, () => {
      const page = new Uint32Array(1024);
      for (let word = 0; word < 1024; word += 2) {
        if (random() % 100 >= kept) continue;
        page[word] = sane ? (random() & 0xffff_f07f) | 7 : random();
        page[word + 1] = sane ? random() & 0x3fff : random();
      }
      return page;
    });
  }

  page(frame: Gfn): PageView | undefined {
    this.reads++;
    return this.#pages[frame % 8];
  }

  writablePage(frame: Gfn): Uint32Array | undefined {
    return this.#pages[frame % 8];
  }
}

const noise = fc
  .tuple(fc.integer(), fc.constantFrom(100, 50, 3), fc.boolean())
  .map((parts) => new NoiseMemory(...parts));
const anyFrame = fc.bigInt({ min: 0n, max: 2n ** 52n - 1n }).map((frame) => Number(frame) as VirtualFrame);
const anyRoot = fc.nat(0xffff_ffff).map((root) => root as Gfn);
const levels = fc.constantFrom(4 as const, 5 as const);

describe('random bytes as page tables', () => {
  it('give every translation an outcome after at most one table for each level', () => {
    const kinds = fc.constantFrom<AccessKind[]>('read', 'write', 'read-modify-write', 'fetch');
    const modes = fc.constantFrom<AccessMode[]>('user', 'supervisor', 'implicit-supervisor');
    const profiles = fc.constantFrom(INTEL_VT_RP, AMD_ZEN4);
    fc.assert(
      fc.property(noise, anyFrame, anyRoot, kinds, modes, levels, profiles, (memory, frame, ...rest) => {
        const [root, kind, mode, depth, processor] = rest;
        const cr4 = CR4.PAE | CR4.PKE | CR4.PKS | CR4.SMAP | (depth === 5 ? CR4.LA57 : 0n);
        const registers = pagingRegisters({ cr3: BigInt(root) << 12n, cr4, pkru: 0x5555_5554, pkrs: 0xc });
        const { steps } = translate(registers, memory, at(BigInt(frame) << 12n), { kind, mode }, processor);
        expect(memory.reads).toBeLessThanOrEqual(depth);
        expect(steps.map(({ level, low, high }) => describeEntry(level, low, high)).join()).not.toContain(
          'undefined',
        );

        memory.reads = 0;
        createPageWalker({ memory, registers, processor }).walk(frame, 0, accessBits({ kind, mode }));
        expect(memory.reads).toBeLessThanOrEqual(depth);
      }),
      { numRuns: 1000 },
    );
  });

  it('ask a second level at most once for each entry, once for its flags, and once for the page', () => {
    fc.assert(
      fc.property(noise, anyFrame, anyRoot, levels, (memory, frame, root, depth) => {
        let asked = 0;
        const secondLevel: SecondLevel = {
          fault: undefined,
          level: 1,
          rights: 0,
          translate: (guest) => (++asked % 40 === 0 ? REFUSED : (((guest * 7) % 2 ** 40) as never)),
        };
        const cr4 = CR4.PAE | (depth === 5 ? CR4.LA57 : 0n);
        const registers = pagingRegisters({ cr3: BigInt(root) << 12n, cr4 });
        createPageWalker({ memory, registers, secondLevel }).walk(frame, 8, AccessBits.WRITE);
        expect(asked).toBeLessThanOrEqual(2 * depth + 1);
      }),
    );
  });

  it('end a walk over all addresses at the budget at the latest, in both versions', () => {
    const budget = 1500;
    const presence = fc.constantFrom(HARDWARE_PRESENCE, LINUX_PRESENCE);
    fc.assert(
      fc.property(noise, anyFrame, anyRoot, levels, presence, (memory, start, root, depth, policy) => {
        const options = { memory, root, levels: depth, presence: policy, budget };
        const end = (2 ** 52) as VirtualFrame;
        const result = walkMappings(options, start, end, () => {});
        expect(result.tables + result.absentTables).toBeLessThanOrEqual(budget);
        const readable = mappings({ ...options, budget: 40 }, start, end);
        let step = readable.next();
        while (step.done !== true) step = readable.next();
        expect(step.value.tables).toBeLessThanOrEqual(40);
      }),
      { numRuns: 60 },
    );
  });

  it('can be edited in bounded time, whatever an edit of all addresses meets', () => {
    const none = { low: 0, high: 0 };
    fc.assert(
      fc.property(noise, anyRoot, fc.nat(2 ** 20), (memory, root, frames) => {
        const tables = { allocate: () => undefined, free: () => {} };
        const space = createAddressSpace({ memory, tables, levels: 4, root });
        const end = frames as VirtualFrame;
        const edits = [
          space.change(0 as VirtualFrame, end, { clear: entryBits('RW'), set: none }),
          space.map(0 as VirtualFrame, end, gfn(0), entryBits('P')),
          space.unmap(0 as VirtualFrame, end),
        ];
        for (const { stale } of edits) expect(stale.every(({ start, end: to }) => start < to)).toBe(true);
        expect(space.tablePages).toBe(0);
      }),
      { numRuns: 60 },
    );
  });
});
