import { type ComparedRange, KernelRights, kernelRightsText, type RightsComparison } from '@heki/machine';
import {
  type FrameRange,
  firstBehind,
  type Gfn,
  VIRTUAL_FRAME_END,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
} from '@heki/physical-memory';
import type { KernelTables } from '@heki/vmcore';
import { PageRights, upperHalfStart, walkMappings } from '@heki/x86';
import { count } from '../quantity.ts';
import type { WarnedRange, Warning } from '../warning.ts';
import type { Finding } from './finding.ts';

/** Frames in ranges that do not overlap. */
export function framesIn(ranges: readonly FrameRange<Gfn>[]): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start, 0);
}

const pagesAre = (ranges: readonly FrameRange<Gfn>[]): string => {
  const frames = framesIn(ranges);
  return `${count(frames, 'page')} ${frames === 1 ? 'is' : 'are'}`;
};

const compared = ({ start, end, allowed, granted }: ComparedRange): WarnedRange => ({
  start,
  end,
  mapped: kernelRightsText(allowed),
  granted: kernelRightsText(granted),
});

/**
 * What a reader must know of the rights that pages have: those that mappings themselves make writable and executable, and, where Heki is
 * in force, those that have more or less than their mappings allow. With `tables`, mappings that make them so are named.
 */
export function rightsWarnings(
  rights: Omit<RightsComparison, 'frames' | 'sampled'>,
  { tables, inForce }: { readonly tables?: KernelTables; readonly inForce: boolean },
): Warning[] {
  const { writableCode, beyond, unenforceable, missing } = rights;
  const warnings: Warning[] = [];
  if (writableCode.length > 0) {
    warnings.push({
      id: 'writable-and-executable',
      message: `${pagesAre(writableCode)} writable through one mapping and executable through another`,
      explanation: 'Heki grants what the mappings of a page grant together, so it cannot protect them',
      ranges: tables === undefined ? writableCode.map(compared) : locate(tables, writableCode),
    });
  }
  if (!inForce) return warnings;
  const differing: [Warning['id'], readonly ComparedRange[], string, string][] = [
    [
      'rights-beyond-mappings',
      beyond,
      'granted more than any mapping allows',
      'whoever edits a page table there changes or runs what he must not',
    ],
    [
      'rights-not-withheld',
      unenforceable,
      'granted execution that no mapping allows',
      'the hypervisor cannot withhold it from the kernel alone',
    ],
    ['rights-withheld', missing, 'granted less than a mapping allows', 'the kernel breaks there'],
  ];
  for (const [id, ranges, what, explanation] of differing) {
    if (ranges.length === 0) continue;
    warnings.push({ id, message: `${pagesAre(ranges)} ${what}`, explanation, ranges: ranges.map(compared) });
  }
  return warnings;
}

/** Pages that are granted what the hypervisor could withhold and no mapping allows. */
export function rightsFindings({ beyond }: Pick<RightsComparison, 'beyond'>): Finding[] {
  if (beyond.length === 0) return [];
  const message = `${pagesAre(beyond)} granted more than any mapping allows`;
  return [{ id: 'rights-beyond-mappings', message }];
}

/** Which mappings make each of `ranges`, which ascend, writable and executable. */
function locate(tables: KernelTables, ranges: readonly ComparedRange[]): WarnedRange[] {
  const found = ranges.map((range) => ({
    ...compared(range),
    writableAt: undefined as VirtualAddress | undefined,
    executableAt: undefined as VirtualAddress | undefined,
  }));
  const { WRITE, EXECUTE } = KernelRights;
  walkMappings(
    tables,
    upperHalfStart(tables.levels),
    VIRTUAL_FRAME_END as VirtualFrame,
    ({ virtualFrame, guestFrame, frames, effective }) => {
      const rights =
        ((effective & PageRights.WRITE) === 0 ? 0 : WRITE) |
        ((effective & PageRights.EXECUTE_DISABLE) === 0 ? EXECUTE : 0);
      if (rights === 0) return;
      for (let index = firstBehind(found, guestFrame); index < found.length; index++) {
        const range = found[index];
        if (range === undefined || range.start >= guestFrame + frames) return;
        const frame = virtualFrame + Math.max(0, range.start - guestFrame);
        const at = virtualAddressOf(frame as VirtualFrame);
        if ((rights & WRITE) !== 0) range.writableAt ??= at;
        if ((rights & EXECUTE) !== 0) range.executableAt ??= at;
      }
    },
  );
  return found;
}
