import { gfn, VIRTUAL_FRAME_END, type VirtualAddress, type VirtualFrame } from '@heki/physical-memory';
import { infoTlbLine, resolveKernelRoot, type Vmcore } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';
import { upperHalfStart, walkMappings } from '@heki/x86';
import type { CheckedGuest } from './checked-guest.ts';

/** Characters of what differs that are shown. */
const SHOWN = 120;

/** @throws an Error that says both, around the place where they differ */
export function expectEqual(what: string, found: unknown, expected: unknown): void {
  if (found === expected) return;
  const [first, second] = [String(found), String(expected)];
  const place = Math.max(
    0,
    Array.from(first).findIndex((character, index) => character !== second[index]) - SHOWN / 2,
  );
  const part = (whole: string) => `${place > 0 ? '…' : ''}${whole.slice(place, place + SHOWN)}`;
  throw new Error(`${what} is ${part(first)}: expected ${part(second)}`);
}

/** Gives the dump at `path` to `look`, and closes it. */
export function withDump(path: string, look: (core: Vmcore) => void): void {
  const core = openVmcore(path);
  try {
    look(core);
  } finally {
    core.close();
  }
}

/** @throws an Error where the kernel's leaves are not QEMU's, with the first line that differs */
export function expectLeaves(core: Vmcore, { infoTlb }: CheckedGuest): void {
  const kernel = resolveKernelRoot(core);
  const lines: string[] = [];
  walkMappings(kernel, upperHalfStart(kernel.levels), VIRTUAL_FRAME_END as VirtualFrame, (leaf) =>
    lines.push(infoTlbLine(leaf)),
  );
  const place = infoTlb.findIndex((line, index) => line !== lines[index]);
  if (place >= 0) expectEqual(`leaf ${place} of ${lines.length}`, lines[place], infoTlb[place]);
  expectEqual('the number of leaves', lines.length, infoTlb.length);
}

/** @throws an Error where a page of `core` differs from QEMU's ELF core, or more than `mostAbsent` of those compared are absent */
export function expectBytes(core: Vmcore, { elf, stride }: CheckedGuest, mostAbsent = 0): void {
  withDump(elf, (reference) => {
    let compared = 0;
    let absent = 0;
    for (const { start, end } of reference.segments) {
      for (let frame = Math.ceil(start / 4096); (frame + 1) * 4096 <= end; frame += stride) {
        const expected = reference.memory.page(gfn(frame));
        const found = core.memory.page(gfn(frame));
        compared++;
        if (found === undefined) absent++;
        else if (expected === undefined || !isSame(found, expected)) {
          throw new Error(`the page at 0x${(frame * 4096).toString(16)} differs from that of ${elf}`);
        }
      }
    }
    if (absent > compared * mostAbsent) throw new Error(`${absent} of ${compared} pages are absent`);
  });
}

function isSame(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  for (let word = 0; word < 1024; word++) if (a[word] !== b[word]) return false;
  return true;
}

/** A virtual address, from the 16 digits at the start of a line of `info tlb`. */
export function addressOfLine(line: string): VirtualAddress {
  return BigInt(`0x${line.slice(0, 16)}`) as VirtualAddress;
}
