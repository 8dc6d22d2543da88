import { describeEptEntry, EPT_ENTRY_BITS } from '@heki/ept';
import type { EntryBit, SecondLevelStepView, SecondLevelView, WalkQuery } from '@heki/inspector';
import { hex } from '@heki/physical-memory';
import type { SecondLevelStep, SecondLevelWalk } from '@heki/second-level';
import { isLeaf, type Level, levelName } from '@heki/x86';
import { hex16 } from '../../../hex.ts';
import { entryBitsOf } from '../entry-bits.ts';
import type { WatchedMachine } from './watched-machine.ts';

/** What an edit of an entry in host memory is named by: `h0x...`, where guests' have no letter. */
export const HOST_EDIT = 'h';

/** Bits of an EPT entry that mean something in every entry, and those of leaves. */
const OF_TABLES = ['R', 'W', 'X', 'A', 'XU'] as const;
const OF_LEAVES = ['R', 'W', 'X', 'IPAT', 'LARGE', 'A', 'D', 'XU', 'VGP', 'PWA', 'SSS', 'SVE'] as const;

/** A walk of the second level as the page draws it. @param installs the hypervisor maps the page at the first access, and had not before */
export function secondLevelView(
  { vcpu }: Pick<WatchedMachine, 'vcpu'>,
  { steps, reason, allowed }: SecondLevelWalk,
  edits: WalkQuery['edits'],
  installs: boolean,
): SecondLevelView {
  const isEpt = vcpu.processor.ept !== undefined;
  const isAbsent = steps.at(-1)?.finding === 'not-present';
  return {
    kind: isEpt ? 'EPT' : 'nested tables',
    steps: steps.map((step) => stepView(step, isEpt, edits)),
    isAllowed: allowed || (installs && isAbsent),
    outcome: !installs
      ? reason
      : isAbsent
        ? `${reason}: the hypervisor maps it at the first access`
        : `no page was mapped there yet: these are the entries that the hypervisor makes at the first access${allowed ? '' : `, and ${reason}`}`,
  };
}

function stepView(
  { level: number, address, entry, finding }: SecondLevelStep,
  isEpt: boolean,
  edits: WalkQuery['edits'],
): SecondLevelStepView {
  const level = number as Level;
  const low = Number(entry % 0x1_0000_0000n);
  const high = Number(entry >> 32n);
  return {
    name: `${isEpt ? 'EPT' : 'nested'} ${levelName(level)}`,
    address: `${HOST_EDIT}${hex(address)}`,
    value: hex16(entry),
    isEdited: Object.hasOwn(edits, `${HOST_EDIT}${hex(address)}`),
    text: isEpt ? describeEptEntry(level, { low, high }).replace(/^.*?, /, '') : finding,
    bits: isEpt ? eptBitsOf(level, low, entry) : entryBitsOf(level, entry),
  };
}

function eptBitsOf(level: Level, low: number, entry: bigint): EntryBit[] {
  return (isLeaf(low, level) ? OF_LEAVES : OF_TABLES).map((name) => {
    const { bit, meaning } = EPT_ENTRY_BITS[name];
    return { name, bit, isSet: (entry >> BigInt(bit)) % 2n === 1n, meaning };
  });
}
