import { existsSync } from 'node:fs';
import { VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import { infoTlbLine, resolveKernelRoot } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';
import { upperHalfStart, walkMappings } from '@heki/x86';
import { ResultCounter, type VectorKind } from './kind.ts';
import { readLines } from './read.ts';

/** QEMU's own list of the leaves of a kernel half, beside the core of the same name: one case is one line. */
export const infoTlb: VectorKind = {
  matches: (path) => path.endsWith('.info-tlb.txt.gz'),
  run(path) {
    const snapshot = path.replace(/\.info-tlb\.txt\.gz$/, '.elf.gz');
    if (!existsSync(snapshot))
      throw new Error(`${snapshot} is missing: expected the core that the lines tell of`);
    return compareLines(readLines(path), linesOf(snapshot));
  },
};

/** What `info tlb` would print for the kernel half of a core. */
function linesOf(snapshot: string): string[] {
  const core = openVmcore(snapshot);
  try {
    const lines: string[] = [];
    const { memory, root, levels } = resolveKernelRoot(core);
    const tables = { memory, root, levels, sharedTables: 'each' } as const;
    walkMappings(tables, upperHalfStart(levels), VIRTUAL_FRAME_END as VirtualFrame, (leaf) =>
      lines.push(infoTlbLine(leaf)),
    );
    return lines;
  } finally {
    core.close();
  }
}

/** Both sorted by address, so that one line too many does not spoil all that follow. */
function compareLines(expected: readonly string[], got: readonly string[]): ResultCounter {
  const result = new ResultCounter();
  let e = 0;
  let g = 0;
  while (e < expected.length || g < got.length) {
    const wanted = expected[e];
    const given = got[g];
    const [wantedAddress, givenAddress] = [addressOf(wanted), addressOf(given)];
    const left = wantedAddress <= givenAddress ? wanted : undefined;
    const right = givenAddress <= wantedAddress ? given : undefined;
    result.count(left === right, () => `expected ${left ?? 'no line'}\ngot      ${right ?? 'no line'}`);
    if (left !== undefined) e++;
    if (right !== undefined) g++;
  }
  return result;
}

/** The address at the head of a line; behind every other where there is no line. */
function addressOf(line: string | undefined): string {
  return line === undefined ? 'g' : (line.split(':')[0] ?? '');
}
