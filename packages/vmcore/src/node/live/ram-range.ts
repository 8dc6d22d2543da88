import type { Gpa } from '@heki/physical-memory';
import { VmcoreError } from '../../error.ts';
import type { VmcoreSegment } from '../../segment.ts';

/** A stretch of RAM in the guest's physical memory. */
export interface RamRange extends VmcoreSegment {
  /** The name of its block in QEMU. */
  readonly block: string;
  /** Where it begins in that block: RAM above the PCI hole comes right behind that below it. */
  readonly offset: number;
}

/** The RAM in the view of `system`, as `info mtree -f` prints it: ` START-END (prio 0, ram): BLOCK @OFFSET`. */
export function parseRam(text: string): RamRange[] {
  const views = text.split(/FlatView #\d+/);
  const view = views.find((one) => /^ AS "memory",/m.test(one)) ?? '';
  const line = /^ +([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (?:ram|rom)\): (\S+)(?: @([0-9a-f]{16}))?/gm;
  const ranges = Array.from(view.matchAll(line), ([, start = '', last = '', block = '', offset = '0']) => ({
    start: Number.parseInt(start, 16) as Gpa,
    end: (Number.parseInt(last, 16) + 1) as Gpa,
    block,
    offset: Number.parseInt(offset, 16),
  }));
  if (ranges.length === 0) throw new VmcoreError('QEMU tells of no RAM (info mtree -f)');
  return ranges.sort((a, b) => a.start - b.start);
}
