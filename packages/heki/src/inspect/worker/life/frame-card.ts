import { formatRights } from '@heki/hypervisor';
import type { FrameCard } from '@heki/inspector';
import { firstBehind, type Gfn } from '@heki/physical-memory';
import { SecondLevelAccess } from '@heki/second-level';
import { secondLevelView } from './second-level-view.ts';
import type { WatchedMachine } from './watched-machine.ts';

/** What is known of a page. */
export function frameCard(machine: WatchedMachine, frame: number): FrameCard {
  const { virtualMachine, vcpu, heki, hostFrame, preFault } = machine;
  const gfn = frame as Gfn;
  const effective = virtualMachine.effectiveRights(gfn);
  const ranges = virtualMachine.save()?.ranges ?? [];
  const range = ranges[firstBehind(ranges, gfn)];
  const asked = range !== undefined && range.start <= gfn ? range : undefined;
  const actual = vcpu.secondLevel;
  // Where no leaf is yet, that which a read makes is looked at.
  const installs = effective?.present === false && effective.read;
  if (installs) preFault?.(gfn);
  const read = actual?.explain?.(gfn, 0, SecondLevelAccess.READ | SecondLevelAccess.LINEAR_VALID);
  const counters = heki.counters(gfn);
  return {
    frame,
    host: effective === undefined ? null : hostFrame(gfn),
    counters: counters === undefined ? null : { ...counters },
    asked:
      asked === undefined
        ? null
        : `${formatRights(asked.rights)}${asked.immutable === true ? ', immutable' : ''}`,
    effective: effective === undefined ? null : formatRights(effective),
    secondLevel: read === undefined ? null : secondLevelView(machine, read, {}, installs),
  };
}
