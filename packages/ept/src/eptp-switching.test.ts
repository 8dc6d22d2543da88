import type { Pfn } from '@heki/physical-memory';
import { INTEL_VT_RP } from '@heki/x86';
import { describe, expect, it } from 'vitest';
import { switchEptp } from './eptp-switching.ts';
import { createTableMemory } from './testing/table-memory.ts';

function vmfunc(eax: number, ecx: number, list = 1) {
  const memory = createTableMemory(2);
  memory.write(4096 + 8 * 3, 0x5_505en);
  memory.write(4096 + 8 * 511, 0x7_401en);
  memory.write(4096 + 8 * 4, 0x5_5041n);
  return switchEptp({ memory, list: list as Pfn, processor: INTEL_VT_RP, eax, ecx });
}

describe('VMFUNC', () => {
  it('switches to any valid EPTP of the list and keeps its index', () => {
    expect(vmfunc(0, 3)).toEqual({ switched: true, eptp: 0x5_505en, eptpIndex: 3 });
    expect(vmfunc(0, 511)).toEqual({ switched: true, eptp: 0x7_401en, eptpIndex: 511 });
  });

  it('exits for an index beyond the list, another function, an EPTP that VM entry would refuse, or no list', () => {
    expect(vmfunc(0, 512)).toEqual({ switched: false, why: 'index' });
    expect(vmfunc(0, -1)).toEqual({ switched: false, why: 'index' });
    expect(vmfunc(1, 3)).toEqual({ switched: false, why: 'function' });
    expect(vmfunc(0, 0)).toEqual({ switched: false, why: 'walk-length' });
    expect(vmfunc(0, 4)).toEqual({ switched: false, why: 'memory-type' });
    expect(vmfunc(0, 3, 9)).toEqual({ switched: false, why: 'absent-list' });
  });
});
