import { formatRights } from '@heki/hypervisor';
import type { FrameCard } from '@heki/inspector';
import { firstBehind, type Gfn } from '@heki/physical-memory';
import { SecondLevelAccess } from '@heki/second-level';
import { recordingSecondLevel } from './recording-second-level.ts';
import { secondLevelView } from './second-level-view.ts';
import type { WatchedMachine } from './watched-machine.ts';

/** What is known of a page. */
export function frameCard(machine: WatchedMachine, frame: number): FrameCard {
  const { virtualMachine, vcpu, heki, hostFrame } = machine;
  const gfn = frame as Gfn;
  const effective = virtualMachine.effectiveRights(gfn);
  const ranges = virtualMachine.save()?.ranges ?? [];
  const range = ranges[firstBehind(ranges, gfn)];
  const asked = range !== undefined && range.start <= gfn ? range : undefined;
  const actual = vcpu.secondLevel;
  const recorded = actual === undefined ? undefined : recordingSecondLevel(machine, actual);
  recorded?.secondLevel.translate(gfn, 0, SecondLevelAccess.READ | SecondLevelAccess.LINEAR_VALID);
  const read = recorded?.asked[0];
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
    secondLevel: read?.walk === undefined ? null : secondLevelView(machine, read.walk, {}, read.installs),
  };
}
