import type { Gfn } from '@heki/physical-memory';
import { type CpuProfile, INTEL_VT_RP } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { createGuest, kernelVa, range, userVa } from '../testing/guest.ts';

const { ept } = INTEL_VT_RP;
if (ept === undefined) throw new TypeError('the processor has EPT');
const withEpt = (part: Partial<typeof ept>): CpuProfile => ({ ...INTEL_VT_RP, ept: { ...ept, ...part } });

describe.each<[string, Partial<typeof ept>]>([
  ['accessed flags', {}],
  ['no accessed flags', { accessedDirty: false }],
  ['neither accessed flags nor execute-only entries', { accessedDirty: false, executeOnly: false }],
  ['no accessed flags and no MBEC', { accessedDirty: false, modeBasedExecute: false }],
  ['neither of the three', { accessedDirty: false, executeOnly: false, modeBasedExecute: false }],
])('with %s', (_name, part) => {
  test('pages whose use is asked for can be used again, with the rights that they had', () => {
    const guest = createGuest({ processor: withEpt(part) });
    guest.protect([range(0x200, 0x201, 1), range(0x201, 0x202, 5)]);
    const splits = part.modeBasedExecute !== false;
    for (const use of ['load', 'fetch', 'store', 'user'] as const) {
      guest.cpu.registers.cpl = 0;
      guest.vm.preFault(0 as Gfn, 0x400 as Gfn);
      guest.vm.age(0 as Gfn, 0x4000 as Gfn);
      if (use === 'user') guest.cpu.registers.cpl = 3;
      const at = (gfn: number) => (use === 'user' ? userVa(gfn * 4096) : kernelVa(gfn * 4096));
      const outcomes = [0x200, 0x201, 0x202].map((gfn) =>
        use === 'load'
          ? guest.cpu.load(at(gfn), 8)
          : use === 'store'
            ? guest.cpu.store(at(gfn), 8, 1n)
            : guest.cpu.fetch(at(gfn)),
      );
      const denied = (errorCode: number) => ({ kind: 'exception', vector: 14, errorCode });
      const done = { kind: 'done' };
      expect(outcomes, use).toMatchObject(
        use === 'store'
          ? [denied(3), denied(3), done]
          : use === 'fetch' && splits
            ? [denied(0x11), done, denied(0x11)]
            : [done, done, done],
      );
    }
  });
});
