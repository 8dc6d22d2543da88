import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { instructionSequences } from './instruction-sequences.ts';
import { parseSequences } from './sequences/sequence.ts';

let folder = '';
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'sequences-')), 'instruction-sequences');
  mkdirSync(folder);
});
afterEach(() => rmSync(folder, { recursive: true }));

function run(...lines: string[]) {
  const path = join(folder, 'a.txt');
  writeFileSync(path, lines.join('\n'));
  const { passed, failed, differences } = instructionSequences.run(path);
  return { passed, failed, differences };
}

const INTEL = 'processor intel levels=4';

describe('instruction sequences', () => {
  it('are files of a folder of that name', () => {
    for (const path of ['instruction-sequences/a.txt', 'x/instruction-sequences/a.txt.gz']) {
      expect(instructionSequences.matches(path)).toBe(true);
    }
    expect(instructionSequences.matches('paging/a.txt')).toBe(false);
  });

  it('pass when every instruction ends as the line says', () => {
    expect(
      run(
        '# a comment',
        INTEL,
        'page: map 7f0000000000 1 p,w,u; user store 8 7f0000000000 5 = done; load 8 7f0000000000 = 5; read entry 7f0000000000 1 = p,w,u,a,d | qemu',
        'smap: map 7f0000000000 0 p,u; mov cr4 base+smap = done; load 1 7f0000000000 = #PF 1 7f0000000000; stac = done; load 1 7f0000000000 = c3 | manual',
        'processor intel levels=5',
        'wide: map ff00000000000000 0 p; entry ff00000000000000 5 +nx; fetch ff00000000000000 = #PF 11 ff00000000000000 | qemu',
        'processor amd levels=4 nested',
        'nested: map ffff888000000000 0 p,w; nested-entry a00000 1 -w; store 8 ffff888000000000 1 = #NPF 100000007 a00000 | qemu bochs',
        'processor intel levels=4 without=umip',
        'absent: mov cr4 base+umip = #GP 0; read cr4 = 620 | bochs',
      ),
    ).toEqual({ passed: 5, failed: 0, differences: [] });
  });

  it('show the first instruction that ends in another way', () => {
    expect(run(INTEL, 'wrong: mov cr4 base+smep = done; user load 8 1000 = done; sldt = 1 | manual')).toEqual(
      {
        passed: 0,
        failed: 1,
        differences: ['wrong: user load 8 1000\n  expected done\n  got      #PF 5 1000'],
      },
    );
  });

  it('leave nothing of one to the next', () => {
    const steps =
      'map 7f0000000000 0 p,w,u; load 8 7f0000000000 = c3c3c3c3c3c3c3c3; store 8 7f0000000000 0 = done';
    expect(
      run(
        INTEL,
        `one: ${steps}; mov cr4 base+smap = done | manual`,
        `two: ${steps}; read cr4 = base | manual`,
      ),
    ).toMatchObject({
      passed: 2,
    });
  });

  it.each([
    ['name: clac = done | manual', 'line 1: no processor before it'],
    [`${INTEL}\nname: clac = done`, 'line 2: expected NAME: STEP; STEP | JUDGE'],
    [`${INTEL}\nname: clac = done | neither`, 'line 2: judge neither: expected qemu, bochs or manual'],
    [`${INTEL}\nname: hlt = done | manual`, 'line 2: hlt: no such instruction'],
    [`${INTEL}\nname: clac | manual`, 'line 2: clac: no such step, or an instruction without an outcome'],
    [`${INTEL}\nname: load 8 = done | manual`, 'line 2: load 8: 0 arguments, expected 1'],
    [`${INTEL}\nname: load 8 xyz = done | manual`, 'line 2: xyz: expected a number in hex'],
    [`${INTEL}\nname: map 1000 0 p,q; clac = done | manual`, 'line 2: q: no flag of an entry'],
    ['processor arm', 'line 1: arm: expected intel or amd'],
    ['processor amd levels=3', 'line 1: levels=3: expected 4 or 5'],
  ])('that cannot be read are named with their place: %s', (text, message) => {
    expect(() => parseSequences(text.split('\n'))).toThrow(message);
  });
});
